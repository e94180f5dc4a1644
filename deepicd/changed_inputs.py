"""Hold the inputs of a stage against the records of the stages that made them.

A note edited between `distill` and `assemble`, a file laid into a folder of traces, an edited run.json, or a cohort
that was built again after its traces were written: a run on them would carry a lineage that is not its own. Such inputs
are refused; `--accept-changes` accepts them, and the option `accepted_changes` of the record says what had changed.
Commands import this module for their option, so it loads what is heavy only where it is used.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.storage import Origin

if TYPE_CHECKING:
    from deepicd.record_model import Record

EDITED = "its run.json was edited"
OPTION = "accepted_changes"
_is_accepted: ContextVar[bool] = ContextVar("accept_changes", default=False)


def find_changes(path: Path, folder: Path, record: "Record") -> str:
    """Return how an input differs from what the record in `folder` says of it; '' if it does not.

    `path` is the folder, a part of it or a file in it. A file that the record does not list is not of that run. Folders
    with a record of their own, and the README.md of a card, may be added. Digests are computed once per file, and the
    plan of a run needs them anyway.
    """
    from deepicd.record_model import FileChanges, compare_files

    inside = "" if path == folder else path.relative_to(folder).as_posix()
    below = f"{inside}/" if inside and path.is_dir() else inside
    listed = {name: output for name, output in record.outputs.items() if name.startswith(below)}
    changes = compare_files(folder, listed, content=True)
    if path.is_dir():
        added = [file for file in storage.list_files(path) if not _is_of_another_run(file, folder)]
        names = {file.relative_to(folder).as_posix() for file in added} - listed.keys()
        changes = FileChanges(changes.missing, changes.changed, sorted(names))
    return str(changes)


def _is_of_another_run(file: Path, folder: Path) -> bool:
    if file == folder / "README.md" and (folder / "card" / "run.json").is_file():
        return True
    return any((above / "run.json").is_file() for above in file.parents if folder in above.parents)


def require_origin(files: Iterable[Path], origin: Origin, *, what: str, advice: str) -> None:
    """Raise DeepicdError unless all files have the origin of the cohort. `what` begins the sentence that says so."""
    if others := {storage.read_origin(path) for path in files} - {origin}:
        raise DeepicdError(f"{what} {others.pop()} records, the cohort from {origin} ones.", advice)


def find_other_cohorts(own: Mapping[str, "Record"]) -> dict[str, str]:
    """Return the roles that descend from another cohort than the one that is an input itself, if one is.

    `own`: role → record with its lineage. Two datasets may differ: a model is also evaluated on others than its own.
    """
    cohorts = {role: record for role, record in own.items() if record.command == "build"}
    return {
        role: f"descends from another cohort than {cohort}"
        for cohort, built in cohorts.items()
        for role, record in own.items()
        if _list_rows(record.lineage.get("build", built)) != _list_rows(built)
    }


def _list_rows(build: "Record") -> dict[str, str]:
    from deepicd.record_model import COHORT_FILES

    return {name: output.sha256 for name, output in build.outputs.items() if name in COHORT_FILES}


def require_accepted(changes: Mapping[str, str], command: str) -> dict[str, dict[str, str]]:
    """Return the option that records changed inputs, {} where there are none. Raises DeepicdError unless accepted."""
    if not changes:
        return {}
    if not _is_accepted.get():
        or_accept = "; or, if you changed them on purpose, add --accept-changes, which the record will say"
        raise DeepicdError(
            f"`deepicd {command}` was given inputs that are not what their records say:\n"
            + "\n".join(f"  {role}: {what}" for role, what in changes.items()),
            f"Make them again with the stages that wrote them{or_accept if _is_offered() else ''}.",
        )
    return {OPTION: dict(changes)}


def _is_offered() -> bool:
    """Return whether whoever runs this can accept changes: a command with the option, or a program."""
    command = click.get_current_context(silent=True)
    return command is None or any(option.name == "accept_changes" for option in command.command.params)


@contextmanager
def accept_changes() -> Iterator[None]:
    """Accept changed inputs in the block."""
    token = _is_accepted.set(True)
    try:
        yield
    finally:
        _is_accepted.reset(token)


def _accept(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.with_resource(accept_changes())


accept_changes_option = click.option(
    "--accept-changes", is_flag=True, expose_value=False, callback=_accept,
    help="Use inputs although they are not what their run.json says; the new run.json then says so.",
)  # fmt: skip
