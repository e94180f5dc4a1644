"""run.json: what a stage did, from what, and with what outcome. Cards are rendered from these records.

A `Plan` is everything that decides a stage's output: its command, our version, its options and its inputs' digests.
Its key tells whether a folder already holds that output, so that the same command run twice
does nothing the second time.

    plan = runs.plan("build", options={"seed": 42}, inputs={"discharge": path})
    if done := runs.finished(out, plan):
        return done
    with runs.fresh_folder(out, plan, origin) as run:  # appears when the block ends well, or not at all
        write(run.folder / "train.parquet")
        run.counts["kept"] = 3
"""

import fcntl
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deepicd import __version__, store
from deepicd.errors import DeepicdError
from deepicd.store import Origin

RECORD = "run.json"


@dataclass(frozen=True)
class Plan:
    """What a stage is asked to do. Two runs of one plan make the same output, sampling aside."""

    command: str
    options: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, str]]  # role → {path, digest}
    lineage: Mapping[str, Any]  # command → record of the run that made an input

    @property
    def key(self) -> str:
        return store.digest_of(
            {
                "command": self.command,
                "version": __version__,
                "options": self.options,
                "inputs": {role: entry["digest"] for role, entry in self.inputs.items()},
            }
        )


@dataclass
class Run:
    """A stage at work: where it writes, and what it will say of itself."""

    folder: Path
    plan: Plan
    origin: Origin
    counts: dict[str, Any] = field(default_factory=dict)
    """Numbers that the card shows: rows kept, rows dropped by reason."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the reader of the record, e.g. that titles came from the release tables."""


Record = dict[str, Any]
"""A run.json as read; `_recorded` below writes its fields."""


def plan(command: str, *, options: Mapping[str, Any], inputs: Mapping[str, Path]) -> Plan:
    """Digest the inputs (files or folders) and take along the records of the stages that made them."""
    lineage: dict[str, Any] = {}
    for path in inputs.values():
        record_path = (path if path.is_dir() else path.parent) / RECORD
        if record_path.is_file():
            upstream = store.read_json(record_path)
            lineage |= upstream.get("lineage", {})
            lineage[upstream["command"]] = _portable(upstream)
    digests = {path: store.digest(path) for path in set(inputs.values())}  # one file may play several parts
    return Plan(
        command=command,
        options=dict(options),
        inputs={role: {"path": str(path), "digest": digests[path]} for role, path in inputs.items()},
        lineage=lineage,
    )


def _portable(record: Record) -> Record:
    """A record as others may carry it: no paths of this machine, no second copy of its own lineage."""
    kept = {key: value for key, value in record.items() if key not in ("argv", "lineage")}
    kept["inputs"] = {role: {"digest": entry["digest"]} for role, entry in record["inputs"].items()}
    return kept


def read(folder: Path) -> Record | None:
    """The record in a folder, None where there is none."""
    path = folder / RECORD
    return store.read_json(path) if path.is_file() else None


def finished(folder: Path, plan: Plan) -> Record | None:
    """The record of this very plan, if the folder holds its complete output; else None."""
    record = read(folder)
    if record is None or record["key"] != plan.key:
        return None
    whole = all(
        (path := folder / name).is_file() and path.stat().st_size == entry["bytes"]
        for name, entry in record["outputs"].items()
    )
    return record if whole else None


@contextmanager
def fresh_folder(out: Path, plan: Plan, origin: Origin, *, overwrite: bool = False) -> Iterator[Run]:
    """A folder that appears as `out`, with its record, when the block ends well; otherwise nothing stays behind.

    Hidden files in it are scratch and go at the end. Refuses (DeepicdError) an `out` that holds something else, and a
    second process at work on the same one.
    """
    out = out.absolute()
    refuse_other_content(out, plan, overwrite=overwrite)
    staging = out.with_name(f".{out.name}.partial")
    staging.mkdir(parents=True, exist_ok=True)
    with _only_process(staging, out):
        try:
            for left_over in staging.iterdir():  # of a run that was killed
                shutil.rmtree(left_over) if left_over.is_dir() else left_over.unlink()
            with _recorded(Run(staging, plan, origin)) as run:
                yield run
            for scratch in staging.glob(".*"):
                shutil.rmtree(scratch) if scratch.is_dir() else scratch.unlink()
            if out.exists():
                old = out.with_name(f".{out.name}.old")
                shutil.rmtree(old, ignore_errors=True)
                out.rename(old)
                staging.rename(out)
                shutil.rmtree(old)
            else:
                staging.rename(out)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def kept_folder(out: Path, plan: Plan, origin: Origin) -> Iterator[Run]:
    """A folder that keeps what earlier, interrupted runs left in it; its record appears when the block ends well."""
    out.mkdir(parents=True, exist_ok=True)
    with _only_process(out, out), _recorded(Run(out, plan, origin)) as run:
        yield run


def refuse_other_content(out: Path, plan: Plan, *, overwrite: bool = False) -> None:
    """Raise unless `out` is absent, empty, this plan's own, or (with `overwrite`) another run's of the same command."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir():
        raise DeepicdError(f"{out} is a file.", "Name a folder to write to.")
    record = read(out)
    if record is None:
        raise DeepicdError(
            f"{out} holds files that no {RECORD} accounts for.",
            "Choose a new or empty folder, so that nothing is lost.",
        )
    if record["command"] != plan.command:
        raise DeepicdError(
            f"{out} holds the output of `deepicd {record['command']}`.", "Choose another folder for this stage."
        )
    if not overwrite and record["key"] != plan.key:
        raise DeepicdError(
            f"{out} already holds another run: {_difference(record, plan)}.",
            "Choose another folder, or pass --overwrite to replace it.",
        )


def _difference(record: Record, plan: Plan) -> str:
    """What sets a recorded run apart from a plan, in words: 'option seed was 1, now 2; input hosp differs'."""
    then, now = record["options"], plan.options
    parts = [
        f"option {name} was {then.get(name)!r}, now {now.get(name)!r}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    had = record["inputs"]
    parts += [
        f"input {role} differs"
        for role in sorted({*had, *plan.inputs})
        if had.get(role, {}).get("digest") != plan.inputs.get(role, {}).get("digest")
    ]
    if record["version"] != __version__:
        parts.append(f"it was made by version {record['version']}, this is {__version__}")
    return "; ".join(parts) or "its record differs"


@contextmanager
def _recorded(run: Run) -> Iterator[Run]:
    started, clock = datetime.now(UTC), time.monotonic()
    yield run
    store.write_json(
        run.folder / RECORD,
        {
            "version": __version__,
            "command": run.plan.command,
            "argv": shlex.join(["deepicd", *sys.argv[1:]]),
            "key": run.plan.key,
            "origin": run.origin,
            "options": run.plan.options,
            "inputs": run.plan.inputs,
            "counts": run.counts,
            "notes": run.notes,
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - clock, 2),
            "outputs": {
                path.relative_to(run.folder).as_posix(): {"bytes": path.stat().st_size, "sha256": store.digest(path)}
                for path in store.files_in(run.folder)
            },
            "lineage": run.plan.lineage,
        },
    )


@contextmanager
def _only_process(folder: Path, out: Path) -> Iterator[None]:
    """Hold a folder for this process; the lock goes with the process, however it ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DeepicdError(
                f"Another process is writing to {out}.", "Wait for it to end, or choose another folder."
            ) from error
        yield
    finally:
        os.close(handle)
