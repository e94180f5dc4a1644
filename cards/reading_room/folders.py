"""Find what a path holds: the folders of stages, and those that they were made from.

    holdings = find_holdings(Path("out"))
    holdings.cohorts, holdings.traces, holdings.datasets, holdings.scores, holdings.evaluations

PATH is the output of a stage or a folder above several of them. Inputs that its records name are found where they lay
when the stage ran, if they are still there and still the same run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deepicd import records, storage
from deepicd.changed_inputs import find_other_cohorts
from deepicd.errors import DeepicdError
from deepicd.records import Record
from deepicd.schema import SPLITS
from deepicd.stage_records import (
    AssembleRecord,
    BuildRecord,
    DistillRecord,
    EvaluateRecord,
    JudgeRecord,
    VerifyRecord,
)
from deepicd.storage import Origin

SEALED = "outcome"  # of a cohort; of the same origin as its notes
DEPTH = 4  # folders below PATH that are searched

INPUTS = {"cohort": "build", "traces": "distill"}  # role of an input → the command that writes such a folder


@dataclass
class Holdings:
    """Folders by what they hold, each with its record, in the order in which they were found."""

    cohorts: dict[Path, BuildRecord] = field(default_factory=dict)
    traces: dict[Path, DistillRecord] = field(default_factory=dict)
    datasets: dict[Path, AssembleRecord] = field(default_factory=dict)
    scores: dict[Path, JudgeRecord] = field(default_factory=dict)
    verified: dict[Path, VerifyRecord] = field(default_factory=dict)
    evaluations: dict[Path, EvaluateRecord] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    """Inputs that records name and that are not there, in words."""

    @property
    def _parts(self) -> dict[type[Record], dict[Path, Any]]:
        return {
            BuildRecord: self.cohorts,
            DistillRecord: self.traces,
            AssembleRecord: self.datasets,
            JudgeRecord: self.scores,
            VerifyRecord: self.verified,
            EvaluateRecord: self.evaluations,
        }

    def list_records(self) -> Iterator[tuple[Path, Record]]:
        """Yield every folder with its record."""
        for part in self._parts.values():
            yield from part.items()

    def leave_out_other_cohorts(self, chosen: BuildRecord) -> int:
        """Remove what was made from another cohort; return the number of folders."""
        own = {str(folder): record for folder, record in self.list_records()}
        strange = find_other_cohorts({"cohort": chosen, **own})
        for part in self._parts.values():
            for folder in strange:
                part.pop(Path(folder), None)
        return len(strange)

    def add(self, folder: Path, record: Record) -> bool:
        """Keep a folder that readers look at; return whether it is new."""
        for kind, part in self._parts.items():
            if record.command in kind.COMMANDS and folder not in part:
                part[folder] = record.parse_as(kind, str(folder / records.RECORD))
                return True
        return False

    @property
    def origin(self) -> Origin:
        """The origin of everything that is shown; a file that does not say counts as credentialed."""
        folders = [folder for folder, _ in self.list_records()]
        files = [path for folder in folders for path in folder.rglob("*.parquet") if path.parent.name != SEALED]
        stated = [record.origin for _, record in self.list_records()]
        return storage.combine_origins([*stated, *map(storage.read_origin, files)])

    def list_inputs(self) -> dict[str, Path]:
        """Return what the pages are made from, role → folder: of a dataset only what no other folder has."""
        parts = (self.cohorts, self.traces, self.scores, self.verified, self.evaluations)
        folders = [folder for part in parts for folder in part]
        if not (self.cohorts and self.traces):
            folders += [folder / config for folder in self.datasets for config in ("traces", "grpo")]
        return {f"folder {number}": folder for number, folder in enumerate(folders, start=1) if folder.is_dir()}

    def list_notes(self) -> list[Path]:
        """Return the cohort's files, in the order of the splits."""
        return [file for folder in self.cohorts for split in SPLITS if (file := folder / f"{split}.parquet").is_file()]


def find_holdings(path: Path, cohort: Path | None = None) -> Holdings:
    """Return what a path holds and what that was made from. Raises DeepicdError where there is nothing to read."""
    if not path.is_dir():
        raise DeepicdError(
            f"There is no folder {path}.", "Point at the output of build, distill, judge, assemble or evaluate."
        )
    holdings = Holdings()
    for folder in _list_folders(path.resolve()):
        if record := records.read(folder):
            holdings.add(folder, record)
    if cohort is not None:
        holdings.add(cohort.resolve(), records.require(cohort, BuildRecord))
    _add_inputs(holdings)
    _settle_cohort(holdings, cohort)
    if not (holdings.cohorts or holdings.datasets):
        lacking = f" {' '.join(holdings.absent)}" if holdings.absent else ""
        raise DeepicdError(
            f"{path} holds no notes to read.{lacking}",
            "Point at the output of build, distill, judge, assemble or evaluate, or at a folder above several of them;"
            " if the cohort has moved, name it: --cohort DIR",
        )
    if len(holdings.cohorts) > 1:
        raise DeepicdError(
            f"{path} holds {len(holdings.cohorts)} cohorts.",
            "Point at one of them, or at what was made from one, or name it: --cohort DIR",
        )
    return holdings


def _settle_cohort(holdings: Holdings, named: Path | None) -> None:
    """Keep one of several copies of a cohort; of several cohorts the one that is named, with what was made from it."""
    if named is None:
        first: dict[str, Path] = {}
        for folder, record in holdings.cohorts.items():
            first.setdefault(record.key, folder)
        holdings.cohorts = {folder: holdings.cohorts[folder] for folder in first.values()}
        return
    chosen = holdings.cohorts[named.resolve()]
    holdings.cohorts = {named.resolve(): chosen}
    if holdings.leave_out_other_cohorts(chosen) and [*holdings.list_records()] == [(named.resolve(), chosen)]:
        raise DeepicdError(
            f"Nothing here was made from {named}, but from another cohort.",
            "Point at it alone, or name the other.",
        )


def find_inputs(record: Record) -> Holdings:
    """Return the folders that a run was made from. Raises DeepicdError where one is no longer there."""
    holdings = Holdings()
    for entry in record.inputs.values():
        place = Path(entry.path or "")
        folder = next((above for above in (place, place.parent) if (above / records.RECORD).is_file()), None)
        if folder is None or not place.is_dir():
            raise DeepicdError(
                f"A folder that `deepicd {record.command}` was made from is no longer at {place}.", "Put it back there."
            )
        if found := records.read(folder):
            holdings.add(folder, found)
    return holdings


def _list_folders(path: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Yield a folder and those below it, sorted; without hidden ones and those below the output of a stage."""
    yield path
    if (path / records.RECORD).is_file() or not depth:
        return
    for child in sorted(path.iterdir()):
        if child.is_dir() and not child.is_symlink() and not child.name.startswith("."):
            yield from _list_folders(child, depth - 1)


def _add_inputs(holdings: Holdings) -> None:
    """Add the folders that records name as their inputs, and the inputs of these."""
    waiting = list(holdings.list_records())
    while waiting:
        folder, record = waiting.pop(0)
        for role, entry in record.inputs.items():
            if entry.path is None or (role not in INPUTS and role != "dataset"):
                continue
            place = Path(entry.path)
            place = place.parent if role == "dataset" and not (place / records.RECORD).is_file() else place
            found = records.read(place) if place.is_dir() else None
            expected = record.lineage.get(found.command) if found else None
            if found is None:
                holdings.absent.append(f"The {role} that {folder} was made from is no longer at {place}.")
            elif expected is not None and expected.key != found.key:
                holdings.absent.append(f"{place} is another run than the {role} that {folder} was made from.")
            elif holdings.add(place.resolve(), found):
                waiting.append((place, found))
