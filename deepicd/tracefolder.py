"""Which folder of a distillation's output holds the traces: it has one for each recipe."""

from pathlib import Path

from deepicd import records
from deepicd.errors import DeepicdError


def find_recipe_folder(traces: Path) -> Path:
    """The folder of one recipe's traces: the one given, or the only one below it. Raises DeepicdError."""
    if (traces / "kept").is_dir():
        found = [traces]
    else:
        found = sorted(path.parent for path in traces.glob("*/kept") if path.is_dir())
    if not found:
        raise DeepicdError(f"{traces} holds no traces.", "Write them first: deepicd distill COHORT OUT")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DeepicdError(f"{traces} holds traces of {len(found)} recipes: {names}.", "Point at one of them.")
    if records.read(found[0]) is None:
        raise DeepicdError(f"The traces in {found[0]} are not finished.", "Run the same `deepicd distill` again first.")
    return found[0]
