"""How the tiny teacher is trained: a language model for tests and the demo. It knows no medicine.

Trained by train.py on made-up records alone; see weights/README.md. Engines find it by deepicd.engines.shipped_model.
"""

from pathlib import Path

RECIPE = Path(__file__).parent / "recipe.yaml"
