"""What is there of each step of the chain, how old it is, and whether it still follows from the steps before it.

check_steps(steps)[1].state     # 'done', 'running', 'changed', 'out of date', 'unfinished' or 'waiting'
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from deepicd import records
from deepicd.chain import Step
from deepicd.lease import LOCK, is_held
from deepicd.log import format_duration
from deepicd.record_model import Record, compare_files

State = Literal["done", "running", "changed", "out of date", "unfinished", "waiting"]


@dataclass(frozen=True)
class StepStatus:
    """What is there of a step."""

    step: str
    state: State
    finished: str | None
    """ISO 8601, UTC."""
    seconds: float | None
    origin: str | None
    folder: str


def check_steps(steps: Sequence[Step]) -> list[StepStatus]:
    """Return what is there of each step. Sizes of files are compared, their content is left to the stages."""
    found: dict[str, Record] = {}
    statuses = []
    for step in steps:
        folder, record = _find_record(step.folder)
        state: State = "waiting"
        if any(is_held(lock) for lock in _list_locks(step.folder)):
            state = "running"
        elif record is None:
            state = "unfinished" if step.folder.is_dir() and any(step.folder.iterdir()) else "waiting"
        elif compare_files(folder, record.outputs, content=False):
            state = "changed"
        elif _is_out_of_date(record, found):
            state = "out of date"
        else:
            state = "done"
        if record is not None:
            found[record.command] = record
        finished = _compute_end(record) if record else None
        seconds, origin = (record.seconds, record.origin) if record else (None, None)
        statuses.append(StepStatus(step.name, state, finished, seconds, origin, str(step.folder)))
    return statuses


def _list_locks(folder: Path) -> Iterator[Path]:
    """Yield the lock files of a step: beside its folder or in it, and those of a ledger, one per shard."""
    yield folder.with_name(f".{folder.name}{LOCK}")
    yield from folder.glob(f"*{LOCK}")
    yield from folder.glob(f"ledger/{LOCK}*")


def _find_record(folder: Path) -> tuple[Path, Record | None]:
    """Return the folder of the newest run.json in a folder or directly below it, and the record; None without one."""
    runs = [(path.parent, record) for path in _list_records(folder) if (record := records.read(path.parent))]
    return max(runs, key=lambda run: run[1].started, default=(folder, None))


def _list_records(folder: Path) -> Iterator[Path]:
    yield from folder.glob(records.RECORD)
    yield from (path for path in folder.glob(f"*/{records.RECORD}") if path.parent.name != "card")


def _is_out_of_date(record: Record, found: Mapping[str, Record]) -> bool:
    """Return whether a run before this one has been made anew since."""
    return any(command in found and found[command].key != upstream.key for command, upstream in record.lineage.items())


def _compute_end(record: Record) -> str | None:
    if not record.started:
        return None
    return datetime.fromtimestamp(datetime.fromisoformat(record.started).timestamp() + record.seconds, UTC).isoformat(
        timespec="seconds"
    )


def render_board(statuses: Sequence[StepStatus]) -> str:
    """Return the table of `status`."""
    rows = [("stage", "state", "finished (UTC)", "took", "origin", "folder")]
    rows += [
        (
            status.step,
            status.state,
            (status.finished or "").replace("T", " ")[:16],
            format_duration(status.seconds) if status.seconds is not None else "",
            status.origin or "",
            status.folder,
        )
        for status in statuses
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )
