"""The card of a trained model as a publication: README.md and its figures, nothing else of the run's folder.

Weights, checkpoints, logs, predictions and records stay here. Weights that were trained on notes can repeat them, so
they are shared as notes are (docs/publishing.md); where they are free, any of the Hub's own tools uploads them.
"""

from pathlib import Path

from cards import model_card
from cards.dataset_card import write_card
from cards.firewall.content_origin import read_own_origin
from cards.hub import card_trimming
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.storage import Origin

Files = dict[str, Path]
README = "README.md"


def is_training(record: records.Record | None) -> bool:
    """Whether a folder's record is that of a training."""
    return record is not None and record.command in model_card.COMMANDS


def gather_model_card(
    out: Path, record: records.Record, what: str, staging: Path, notes_from: Path | None
) -> tuple[Files, Origin, tuple[Path, ...], list[str]]:
    """Files, origin, where the notes are that the card must not repeat, and what is not sent. Raises DeepicdError."""
    if what != "card":
        raise DeepicdError(
            f"{out} holds a run of `deepicd {record.command}`: of a trained model only the card is published.",
            "Drop --what, or use --what card; publish rows and recipe from the dataset's folder.",
        )
    write_card(out)
    origin = model_card.resolve_origin(out, record)
    readme = (out / README).read_text(encoding="utf-8")
    text = card_trimming.remove_weights(readme, credentialed=origin == "mimic", version=record.version)
    storage.write_text(staging / README, text)
    files = {README: staging / README, **card_trimming.list_figures(readme, out)}
    others = sorted({path.relative_to(out).parts[0] for path in out.rglob("*") if path.is_file()} - {README, "card"})
    return files, origin, _find_notes(out, record, notes_from) if origin == "mimic" else (), others


def _find_notes(out: Path, record: records.Record, given: Path | None) -> tuple[Path, ...]:
    """Where the credentialed notes are that the model was trained on, and evaluated on. Raises DeepicdError."""
    if given:
        return (given,)
    measured = model_card.find_metrics(out)
    evaluation = records.read(measured[0].parent) if measured else None
    credentialed = [one for one in (record, evaluation) if one and one.origin == "mimic"]
    found = {_find_dataset(one): one for one in credentialed}
    if not found or None in found:  # none: an evaluation that was copied here without its record, say
        how = "trained" if record is found.get(None) else "evaluated"
        raise DeepicdError(
            f"The notes that this model was {how} on are not where its record says, or it names none; the card is"
            " compared with them.",
            "Say where they are, a dataset, a cohort or a copy of MIMIC-IV-Note: --notes-from DIR",
        )
    return tuple(folder for folder in found if folder)


def _find_dataset(record: records.Record) -> Path | None:
    """The dataset's folder that a record names, if credentialed rows lie there: others are not those it was made of."""
    source = record.inputs.get("dataset")
    named = source.path if source else None
    if not named:
        return None
    part = Path(named)  # one config of it
    rows = sorted(part.glob("*.parquet"))
    credentialed = bool(rows) and all(read_own_origin(path) == "mimic" for path in rows)
    return part.parent if credentialed and records.read(part.parent) else None
