"""Find the notes that a text may repeat: those of the run that it belongs to, by the records.

    report/README.md     ← report/run.json has read evaluation/          (by its path)
      evaluation/        ← its run.json has read dataset/grpo
        dataset/         has the notes; or, if it was moved or deleted:
        cohort/          beside or above it, with the digests that the lineage gives for `deepicd build`

All notes are found or none: if one of several inputs is gone and no cohort takes its place, the text is not checked.
"""

from collections.abc import Iterator
from pathlib import Path

from cards.firewall import passages
from cards.firewall.content_origin import read_record
from cards.firewall.made_up import NEAR
from deepicd import records
from deepicd.stage_records import BuildRecord

DEEPEST = 12  # records from a text to the notes


def find_notes(path: Path) -> list[Path]:
    """Return where the notes of the credentialed run are that a file or folder belongs to; [] if they are not found."""
    path = path.resolve()
    for folder in (path, *path.parents)[: NEAR + 1]:
        record = read_record(folder)
        if record is not None and record.origin == "mimic":
            return list(dict.fromkeys(_follow(folder, record, DEEPEST) or ()))
    return []


def _follow(folder: Path, record: records.Record, deepest: int) -> list[Path] | None:
    """Return the notes that a run has read; [] if it has read none, None if some of them are gone."""
    if passages.has_notes(folder):
        return [folder]
    found: list[Path] = []
    is_complete = deepest > 0
    for given in record.inputs.values():
        place = Path(given.path) if given.path else None
        if place is None or not place.exists():
            is_complete = False
            continue
        above = place if (place / records.RECORD).is_file() else place.parent
        before = read_record(above)
        if before is not None and before.origin == "mimic" and above != folder and deepest:
            if (notes := _follow(above, before, deepest - 1)) is None:
                is_complete = False
            found += notes or []
        elif passages.has_notes(place):
            found.append(place)
    if not is_complete or not found:
        cohort = _find_cohort(folder, record)
        return [*found, cohort] if cohort else None
    return found


def _find_cohort(folder: Path, record: records.Record) -> Path | None:
    """Return a cohort near a folder that is the one of its lineage, by size and digest; None if there is none."""
    build = record.lineage.get(BuildRecord.COMMANDS[0])
    rows = {name: entry for name, entry in build.outputs.items() if name.endswith(".parquet")} if build else {}
    near = (place for above in list(folder.parents)[:NEAR] for place in _list_runs(above))
    return next((place for place in near if rows and not records.compare_files(place, rows, content=True)), None)


def _list_runs(folder: Path) -> Iterator[Path]:
    """Yield the folders with a record in or directly below a folder's folders."""
    for pattern in ("*/run.json", "*/*/run.json"):
        for path in sorted(folder.glob(pattern)):
            yield path.parent
