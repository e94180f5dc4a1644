"""The card of a trained model as a publication: README.md and its figures, nothing else of the run's folder.

Weights, checkpoints, logs, predictions and records stay here. Weights that have read notes can repeat them, so they are
shared as notes are (docs/publishing.md); where they are free, any of the Hub's own tools sends them.
"""

from pathlib import Path

from cards import modelcard
from cards.card import write_card
from cards.hub import front
from deepicd import runs, store
from deepicd.errors import DeepicdError
from deepicd.store import Origin

Files = dict[str, Path]
README = "README.md"


def is_run(record: runs.Record | None) -> bool:
    """Whether a folder's record is that of a training."""
    return record is not None and record["command"] in modelcard.COMMANDS


def gather(
    out: Path, record: runs.Record, what: str, staging: Path, notes_from: Path | None
) -> tuple[Files, Origin, Path | None, list[str]]:
    """Files, origin, where the notes are that the card must not repeat, and what is not sent. Raises DeepicdError."""
    if what != "card":
        raise DeepicdError(
            f"{out} holds a run of `deepicd {record['command']}`: of a trained model only the card is published.",
            "Leave --what out, or say --what card; rows and recipe are published from the dataset's folder.",
        )
    write_card(out)
    origin = modelcard.origin(out, record)
    readme = (out / README).read_text(encoding="utf-8")
    text = front.without_weights(readme, credentialed=origin == "mimic", version=record["version"])
    store.write_text(staging / README, text)
    pictures = {f"card/{path.name}": path for path in sorted((out / "card").glob("*.png"))}
    files = {README: staging / README, **pictures}
    others = sorted({path.relative_to(out).parts[0] for path in out.rglob("*") if path.is_file()} - {README, "card"})
    return files, origin, _notes(record, notes_from) if origin == "mimic" else None, others


def _notes(record: runs.Record, given: Path | None) -> Path:
    """The dataset that was trained on, or where the user says that the notes are. Raises DeepicdError for neither."""
    if given:
        return given
    part = Path(record["inputs"].get("dataset", {}).get("path", ""))  # one config of it
    if record["inputs"].get("dataset") and runs.read(part.parent) and part.is_dir():
        return part.parent
    raise DeepicdError(
        "The notes that this model was trained on are no longer where they were; the card is compared with them.",
        "Say where they are, a dataset, a cohort or a copy of MIMIC-IV-Note: --notes-from DIR",
    )
