"""The tiny teacher: a language model of two million parameters for tests and the demo. It knows no medicine.

`--model deepicd-tiny-teacher` names it (pyproject.toml, entry point `deepicd.models`), so that engines run a real model
without a download. train.py trained it, on made-up records alone; see weights/README.md.
"""

from pathlib import Path

NAME = "deepicd-tiny-teacher"
RECIPE = Path(__file__).parent / "recipe.yaml"
WEIGHTS = Path(__file__).parent / "weights"
