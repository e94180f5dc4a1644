"""run.json: what a stage did, from what, and with what outcome. Cards are rendered from these records.

A `Plan` is everything that decides a stage's output: its command, our version, its options and its inputs' digests.
Its key tells whether a folder already holds that output, so that the same command run twice
does nothing the second time.

    plan = records.plan_run("build", options={"seed": 42}, inputs={"discharge": path})
    if done := records.find_finished(out, plan):
        return done
    with records.fresh_folder(out, plan, origin) as run:  # appears when the block ends well, or not at all
        write(run.folder / "train.parquet")
        run.counts["kept"] = 3
    return run.record
"""

import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deepicd import __version__, storage
from deepicd.errors import DeepicdError
from deepicd.storage import Origin

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
        return storage.digest_json(
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
    portable: bool = False
    """Whether the folder is for others: its record then names no path of this machine."""
    record: "Record" = field(default_factory=dict)
    """What run.json says; filled when the block has ended well."""


Record = dict[str, Any]
"""A run.json as read; `_recorded` below writes its fields."""

# What must be there for a file to be a record.
FIELDS: dict[str, type] = {
    "version": str,
    "command": str,
    "key": str,
    "origin": str,
    "options": dict,
    "inputs": dict,
    "counts": dict,
    "notes": list,
    "outputs": dict,
    "lineage": dict,
}


def plan_run(command: str, *, options: Mapping[str, Any], inputs: Mapping[str, Path]) -> Plan:
    """Digest the inputs (files or folders) and take along the records of the stages that made them.

    The record of a file, or of a folder that has none itself (one config of a dataset, say), is that of its folder.
    """
    lineage: dict[str, Any] = {}
    for path in inputs.values():
        if upstream := read(path) or read(path.parent):
            lineage |= upstream.get("lineage", {})
            lineage[upstream["command"]] = _portable(upstream)
    digests = {path: storage.digest_path(path) for path in set(inputs.values())}  # one file may play several parts
    return Plan(
        command=command,
        options=dict(options),
        inputs={role: {"path": str(path), "digest": digests[path]} for role, path in inputs.items()},
        lineage=lineage,
    )


def inherit_origin(origin: Origin, lineage: Mapping[str, Any]) -> Origin:
    """The origin of what was made of rows of that origin and of all that stands in the lineage."""
    return storage.combine_origins([origin, *(record["origin"] for record in lineage.values())])


def _portable(record: Record) -> Record:
    """A record as others may carry it: no paths of this machine, no second copy of its own lineage."""
    kept = {key: value for key, value in record.items() if key not in ("argv", "lineage")}
    kept["inputs"] = {role: {"digest": entry["digest"]} for role, entry in record["inputs"].items()}
    return kept


def read(folder: Path) -> Record | None:
    """The record in a folder, None where there is none. Raises DeepicdError for a run.json that is none of ours."""
    path = folder / RECORD
    if not path.is_file():
        return None
    record = storage.read_json(path)
    if not isinstance(record, dict) or any(not isinstance(record.get(name), kind) for name, kind in FIELDS.items()):
        raise DeepicdError(
            f"{path} is not the record of a stage.",
            "Was it edited? Make the folder again with the stage that wrote it.",
        )
    return record


def require(folder: Path, command: str) -> Record:
    """The record of the finished run of a stage in a folder. Raises DeepicdError where there is none."""
    record = read(folder)
    if record is None or record["command"] != command:
        holds = "no finished run" if record is None else f"a run of `deepicd {record['command']}`"
        raise DeepicdError(f"{folder} holds {holds}.", f"Point at what `deepicd {command}` has made, or run it first.")
    return record


def find_finished(folder: Path, plan: Plan) -> Record | None:
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
    out = out.resolve()  # a link is followed, not replaced
    if out == Path.cwd() or out.is_mount():
        raise DeepicdError(f"{out} is the working folder or a mount point.", "Name a folder in it, which may be new.")
    refuse_other_content(out, plan, overwrite=overwrite)
    staging, old = out.with_name(f".{out.name}.partial"), out.with_name(f".{out.name}.old")
    new_above = [folder for folder in out.parents if not folder.exists()]  # innermost first
    staging.mkdir(parents=True, exist_ok=True)
    with storage.lock_folder(staging, out):
        try:
            if old.exists():  # of a run that was killed between two renamings
                shutil.rmtree(old) if out.exists() else old.rename(out)
            refuse_other_content(out, plan, overwrite=overwrite)  # again, now that nobody else can write to it
            _empty(staging)
            with _recorded(Run(staging, plan, origin)) as run:
                yield run
            for scratch in staging.glob(".*"):
                storage.remove(scratch)
            if out.exists():
                out.rename(old)
            staging.rename(out)
            run.folder = out
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            if not out.exists():
                for folder in new_above:
                    with suppress(OSError):  # somebody else has put something there
                        folder.rmdir()


def _empty(folder: Path) -> None:
    """Remove what a killed run has left."""
    for left_over in folder.iterdir():
        storage.remove(left_over)


@contextmanager
def resumable_folder(out: Path, plan: Plan, origin: Origin) -> Iterator[Run]:
    """A folder that keeps what earlier, interrupted runs left in it; its record appears when the block ends well."""
    out.mkdir(parents=True, exist_ok=True)
    with storage.lock_folder(out, out):
        for partial in out.rglob(".*.partial"):  # a file that a killed run was writing
            storage.remove(partial)
        with _recorded(Run(out, plan, origin)) as run:
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
            f"{out} already holds another run: {describe_difference(record, plan)}.",
            "Choose another folder, or pass --overwrite to replace it.",
        )


def describe_difference(record: Record, plan: Plan) -> str:
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
    record = {
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
            path.relative_to(run.folder).as_posix(): {"bytes": path.stat().st_size, "sha256": storage.digest_path(path)}
            for path in storage.list_files(run.folder)
        },
        "lineage": run.plan.lineage,
    }
    if run.portable:
        record = _portable(record) | {"lineage": run.plan.lineage}
    storage.write_json(run.folder / RECORD, record)
    run.record |= storage.read_json(run.folder / RECORD)  # as anybody reads it: lists for tuples
