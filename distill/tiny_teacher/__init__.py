"""A language model of two million parameters for tests and the demo. It knows no medicine.

Shipped with the package, so that engines run a real model without a download: `--model deepicd-tiny-teacher`.
Trained by train.py on made-up records alone; see weights/README.md.
"""

from pathlib import Path

NAME = "deepicd-tiny-teacher"
RECIPE = Path(__file__).parent / "recipe.yaml"
WEIGHTS = Path(__file__).parent / "weights"


def path_of(teacher: str) -> str:
    """Where a recipe's teacher is found: the name of this one stands for its folder, any other for itself."""
    return str(WEIGHTS) if teacher == NAME else teacher
