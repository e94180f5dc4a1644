"""The model that comes with the package, so that engines run a real one without a download.

`--model deepicd-tiny-teacher`: two million parameters, trained on made-up records alone (distill/tiny_teacher). It
knows no medicine. Only its folder is known here; nothing of that stage is imported.
"""

from pathlib import Path

NAME = "deepicd-tiny-teacher"
WEIGHTS = Path(__file__).parent.parent.parent / "distill" / "tiny_teacher" / "weights"


def resolve_path(model: str) -> str:
    """Where a recipe's model is found: the name of this one stands for its folder, any other for itself."""
    return str(WEIGHTS) if model == NAME else model
