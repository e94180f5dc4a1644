"""run.json: what a stage did, from what, and with what outcome. Cards are rendered from these records.

A `Plan` is everything that decides a stage's output: its command, deepicd's version, its options and the digests of its
inputs. Its key tells whether a folder already holds that output, so that the same command run twice does nothing the
second time. What each stage counts is a model of its own: see deepicd.stage_records.

    plan = records.plan_run(BuildRecord, options={"seed": 42}, inputs={"discharge": path})
    if done := records.find_finished(out, plan):
        return done
    with records.open_fresh_folder(out, plan, origin) as run:  # appears only if the block succeeds
        write(run.folder / "train.parquet")
        run.counts = BuildCounts(rows={"train": 3}, …)
    return run.record  # a BuildRecord
"""

import json
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, overload

from deepicd import __version__, changed_inputs, storage
from deepicd.errors import DeepicdError
from deepicd.json_output import offer_record
from deepicd.lease import LOCK, Lease, hold_lease
from deepicd.log import RUN_LOG, write_run_log
from deepicd.parsing import ParseError, parse_json
from deepicd.private_files import make_private, private_files
from deepicd.record_model import (
    Counts,
    FileChanges,
    Input,
    Model,
    OutputFile,
    Plan,
    Record,
    Run,
    compare_files,
    describe_difference,
    describe_files,
    inherit_origin,
    make_portable,
    parse_model,
)  # fmt: skip
from deepicd.storage import Origin

__all__ = [
    "Counts", "FileChanges", "Input", "Model", "OutputFile", "Plan", "Record", "Run", "compare_files",
    "describe_difference", "describe_files", "inherit_origin", "make_portable", "parse_model",
]  # fmt: skip

RECORD = "run.json"
CHECKSUM = "checksum"  # tells an edited record; not a signature

R = TypeVar("R", bound=Record)


@overload
def plan_run(stage: type[R], *, options: Mapping[str, object], inputs: Mapping[str, Path]) -> Plan[R]: ...
@overload
def plan_run(stage: str, *, options: Mapping[str, object], inputs: Mapping[str, Path]) -> Plan[Record]: ...
def plan_run(
    stage: type[Record] | str, *, options: Mapping[str, object], inputs: Mapping[str, Path]
) -> Plan[Record] | Plan[R]:
    """Digest the inputs (files or folders) and collect the records of the stages that made them.

    `stage` is the kind of record, or a command's name where nobody reads its counts. The record of a file, or of a
    folder that has none itself (one config of a dataset, say), is that of its folder. Raises DeepicdError for inputs
    that are not what these records say (deepicd.changed_inputs).
    """
    kind, command = (Record, stage) if isinstance(stage, str) else (stage, stage.COMMANDS[0])
    try:
        parse_json(json.dumps(options))
    except ParseError as error:
        raise DeepicdError(
            f"The options of this run cannot be recorded: {error}.", "Choose a smaller number."
        ) from error
    digests = {path: storage.digest_path(path) for path in set(inputs.values())}  # one file may play several roles
    upstream: dict[str, Record] = {}
    changes: dict[str, str] = {}
    for role, path in inputs.items():
        folder = path if (path / RECORD).is_file() else path.parent
        if record := read(folder):
            upstream[role] = record
            what = changed_inputs.find_changes(path, folder, record)
            if what or _is_edited(folder):
                changes[role] = what or changed_inputs.EDITED
    lineage: dict[str, Record] = {}
    for role, record in upstream.items():
        lineage |= record.lineage
        lineage[record.command] = parse_model(Record, record.strip_paths(), str(inputs[role]))
    changes = changed_inputs.find_other_cohorts(upstream) | changes
    return Plan(
        kind=kind,
        command=command,
        options={**options, **changed_inputs.require_accepted(changes, command)},
        inputs={role: Input(path=str(path), digest=digests[path]) for role, path in inputs.items()},
        lineage=lineage,
    )


def read(folder: Path) -> Record | None:
    """Return the record in a folder, or None where there is none. Raises DeepicdError for any other file."""
    path = folder / RECORD
    if not path.is_file():
        return None
    value = storage.read_json(path)
    if not isinstance(value, dict) or "lineage" not in value:
        raise DeepicdError(
            f"{path} is not the record of a stage.",
            "Make the folder again with the stage that wrote it; records are not meant to be edited.",
        )
    return parse_model(Record, value, str(path))


@overload
def require(folder: Path, stage: type[R]) -> R: ...
@overload
def require(folder: Path, stage: str) -> Record: ...
def require(folder: Path, stage: type[R] | str) -> R | Record:
    """Return the record of the finished run of a stage in a folder. Raises DeepicdError where there is none.

    `stage` is the kind of record, or a command's name where its counts do not matter.
    """
    commands = (stage,) if isinstance(stage, str) else stage.COMMANDS
    record = read(folder)
    if record is None or record.command not in commands:
        holds = "no finished run" if record is None else f"a run of `deepicd {record.command}`"
        raise DeepicdError(
            f"{folder} holds {holds}.", f"Point at what `deepicd {commands[0]}` has made, or run it first."
        )
    return record if isinstance(stage, str) else record.parse_as(stage, str(folder / RECORD))


def find_finished(folder: Path, plan: Plan[R]) -> R | None:
    """Return the record of this plan if the folder holds its complete output, else None."""
    record = read(folder)
    if record is None or record.key != plan.key:
        return None
    if compare_files(folder, record.outputs, content=False):
        return None
    finished = record.parse_as(plan.kind, str(folder / RECORD))
    offer_record(finished)
    return finished


def find_run_folder(folder: Path, stage: type[R], marker: str) -> tuple[Path, R]:
    """Return the folder of a finished run and its record: `folder`, or the only one below it that holds `marker`.

    Raises DeepicdError where there is none, where there are several, and where the run is not finished.
    """
    command = stage.COMMANDS[0]
    run_folder = storage.find_only_folder(folder, marker, f"outputs of `deepicd {command}`")
    if run_folder is None:
        raise DeepicdError(
            f"{folder} holds no output of `deepicd {command}`.", "Check the path, or run that command first."
        )
    if read(run_folder) is None:
        raise DeepicdError(
            f"The output of `deepicd {command}` in {run_folder} is not finished.", "Rerun the same command first."
        )
    return run_folder, require(run_folder, stage)


@contextmanager
def open_fresh_folder(out: Path, plan: Plan[R], origin: Origin, *, overwrite: bool = False) -> Iterator[Run[R]]:
    """Yield a staging folder that becomes `out`, with its record, when the block succeeds; after an error, remove it.

    Of credentialed origin, it is readable for its owner alone. Hidden files in it are scratch and are removed at the
    end. Raises DeepicdError if `out` holds something else, or if another process is writing to it.
    """
    out = out.resolve()  # a link is followed, not replaced
    if out == Path.cwd() or out.is_mount():
        raise DeepicdError(f"{out} is the working folder or a mount point.", "Name a folder in it, which may be new.")
    refuse_other_content(out, plan, overwrite=overwrite)
    staging, old = out.with_name(f".{out.name}.partial"), out.with_name(f".{out.name}.old")
    new_above = [folder for folder in out.parents if not folder.exists()]  # innermost first
    with private_files(origin):
        out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with private_files(origin), hold_lease(out.with_name(f".{out.name}{LOCK}"), f"writing to {out}") as lease:
            if old.exists():  # left by a run that was killed between two renames
                shutil.rmtree(old) if out.exists() else old.rename(out)
            refuse_other_content(out, plan, overwrite=overwrite)  # again, now that nobody else can write to it
            if staging.exists():  # left by a run that was killed
                shutil.rmtree(staging)
            staging.mkdir()
            try:
                with write_run_log(staging), _write_record(Run(staging, plan, origin), lease) as run:
                    yield run
                for scratch in staging.glob(".*"):
                    storage.remove(scratch)
                if run.is_portable:  # messages may name paths of this machine
                    (staging / RUN_LOG).unlink(missing_ok=True)
                make_private(staging, origin)
                if out.exists():
                    out.rename(old)
                staging.rename(out)
                run.folder = out
                shutil.rmtree(old, ignore_errors=True)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    finally:
        if not out.exists():
            for folder in new_above:
                with suppress(OSError):  # another process has put something there
                    folder.rmdir()


@contextmanager
def open_resumable_folder(out: Path, plan: Plan[R], origin: Origin) -> Iterator[Run[R]]:
    """Yield a folder that keeps what earlier, interrupted runs left in it; its record appears when the block ends.

    After an error, a new folder that holds nothing but a log is removed.
    """
    is_new = not out.exists()
    with private_files(origin):
        out.mkdir(parents=True, exist_ok=True)
    make_private(out, origin, deep=False)
    try:
        with private_files(origin), hold_lease(out / LOCK, f"writing to {out}") as lease:
            for partial in out.rglob(".*.partial"):  # a file that a killed run was writing
                storage.remove(partial)
            with write_run_log(out), _write_record(Run(out, plan, origin), lease) as run:
                yield run
            make_private(out, origin)
    except BaseException:
        if is_new and _is_empty(out):
            (out / RUN_LOG).unlink(missing_ok=True)
            with suppress(OSError):  # another process has begun to write to it
                out.rmdir()
        raise


def refuse_other_content(out: Path, plan: Plan[R], *, overwrite: bool = False) -> None:
    """Raise unless `out` is absent, empty, this plan's output or, with `overwrite`, another one of the same command."""
    if not out.exists() or _is_empty(out):
        return
    if not out.is_dir():
        raise DeepicdError(f"{out} is a file.", "Name a folder to write to.")
    record = read(out)
    if record is None:
        raise DeepicdError(
            f"{out} holds files that no {RECORD} accounts for.",
            "Choose a new or empty folder, so that nothing is lost.",
        )
    if record.command != plan.command:
        raise DeepicdError(
            f"{out} holds the output of `deepicd {record.command}`.", "Choose another folder for this stage."
        )
    if not overwrite and record.key != plan.key:
        raise DeepicdError(
            f"{out} already holds another run: {describe_difference(record, plan)}.",
            "Choose another folder, or pass --overwrite to replace it.",
        )


def _is_empty(folder: Path) -> bool:
    """Return whether a folder holds nothing but, possibly, the log of an earlier run."""
    return folder.is_dir() and all(path.name == RUN_LOG for path in folder.iterdir())


@contextmanager
def _write_record(run: Run[R], lease: Lease) -> Iterator[Run[R]]:
    started, clock = datetime.now(UTC), time.monotonic()
    yield run
    lease.check()
    value: dict[str, object] = {
        "version": __version__,
        "command": run.plan.command,
        "argv": shlex.join(["deepicd", *sys.argv[1:]]),
        "key": run.plan.key,
        "origin": run.origin,
        "options": run.plan.options,
        "inputs": {role: entry.dump() for role, entry in run.plan.inputs.items()},
        "counts": run.counts.dump(),
        "notes": run.notes,
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - clock, 2),
        "outputs": {name: entry.dump() for name, entry in describe_files(run.folder).items()},
        "lineage": {command: record.dump() for command, record in run.plan.lineage.items()},
    }
    plain = parse_json(json.dumps(value))  # as it will be read: lists for tuples
    if run.is_portable:
        plain = make_portable(plain) | {"key": run.plan.key}
    plain[CHECKSUM] = _sum_record(plain)
    run.finished = parse_model(run.plan.kind, plain, RECORD)
    storage.write_json(run.folder / RECORD, plain)
    offer_record(run.finished)


def is_unchanged(folder: Path) -> bool:
    """Return whether a folder's record is as its run wrote it: an edited one, or one without a checksum, is not."""
    value = storage.read_json(folder / RECORD)
    return isinstance(value, dict) and value.get(CHECKSUM) == _sum_record(value)


def _is_edited(folder: Path) -> bool:
    """Return whether a record has a checksum that is not its own; a published record has none."""
    return CHECKSUM in storage.read_json(folder / RECORD) and not is_unchanged(folder)


def _sum_record(value: Mapping[str, object]) -> str:
    """Return the checksum of a record's values but the checksum itself."""
    return storage.digest_json({name: entry for name, entry in value.items() if name != CHECKSUM})
