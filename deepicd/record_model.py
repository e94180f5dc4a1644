"""The models behind run.json: a record, the plan and the run that it comes from, the files that it names.

A record keeps fields that only another version writes. `deepicd.records` reads and writes records, and
`deepicd.stage_records` says what each stage counts.
"""

import json
import re
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from deepicd import __version__, storage
from deepicd.errors import DeepicdError
from deepicd.parsing import parse_json
from deepicd.storage import Origin

LOCAL = {"argv", "base_url", "checksum", "contact", "path", "running", "series"}
"""Keys of records that describe the machine or the person who ran it."""
TRIABLE = {"codes_sha256", "hints", "split_digest"}
"""Keys of digests that can be tried: of note_ids (each is one of ten million patients and a small number), and of the
codes of a cohort (whoever knows all but one or two can try the rest)."""
_PATH = re.compile(r"^(~|/|[A-Za-z]:[\\/]|\.{1,2}[\\/])")
COHORT_FILES = ("train.parquet", "validation.parquet", "test.parquet")
"""Files of `build` that hold its rows: those that tell whether two runs have one cohort."""


class Model(BaseModel):
    """A part of a record. Fields that only another version writes are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    def dump(self) -> dict[str, object]:
        """Return the plain values, as written to the file."""
        return self.model_dump(exclude_unset=True)


class Input(Model):
    path: str | None = None
    """Absent from a portable record."""
    digest: str


class OutputFile(Model):
    bytes: int
    sha256: str


class Counts(Model):
    """Numbers that the card shows: rows kept, rows dropped by reason. Each stage has its own kind."""


M = TypeVar("M", bound="Model")
R = TypeVar("R", bound="Record")
T = TypeVar("T")


class Record(Model):
    """One run of a stage, whatever it counts; `parse_as` turns it into the kind of its stage."""

    COMMANDS: ClassVar[tuple[str, ...]] = ()
    """The commands that write records of this kind; empty for any."""

    version: str
    command: str
    argv: str | None = None
    """The command line; absent from a portable record."""
    key: str
    """Of the run's plan; empty in a portable record."""
    origin: Origin
    options: dict[str, JsonValue]
    inputs: dict[str, Input]
    """Role → path and digest."""
    counts: Counts
    notes: list[str]
    """Sentences for the reader of the record, for instance that titles came from the release tables."""
    started: str = ""
    seconds: float = 0.0
    outputs: dict[str, OutputFile]
    """Path in the folder → size and digest."""
    lineage: dict[str, "Record"] = {}
    """Command → the record of a run that made an input, or an input of that one."""

    def parse_as(self, kind: type[R], source: str = "") -> R:
        """Return this record as its stage's own kind. Raises DeepicdError if it is another's, or incomplete."""
        source = source or f"The record of `deepicd {self.command}`"
        if kind.COMMANDS and self.command not in kind.COMMANDS:
            raise DeepicdError(
                f"{source} is not a record of `deepicd {kind.COMMANDS[0]}`.",
                f"Point at the output of `deepicd {kind.COMMANDS[0]}`.",
            )
        return parse_model(kind, self.dump(), source)

    def find_upstream(self, kind: type[R]) -> R | None:
        """Return the record of a stage before this one, or None where the lineage has none."""
        for command in kind.COMMANDS:
            if command in self.lineage:
                source = f"The record of `deepicd {command}` in the lineage of `deepicd {self.command}`"
                return self.lineage[command].parse_as(kind, source)
        return None

    def require_upstream(self, kind: type[R]) -> R:
        """Return the record of a stage before this one. Raises DeepicdError where the lineage has none."""
        record = self.find_upstream(kind)
        if record is None:
            raise DeepicdError(
                f"The record of `deepicd {self.command}` has no `deepicd {kind.COMMANDS[0]}` in its lineage.",
                "Make its inputs again with this version.",
            )
        return record

    def get_option(self, name: str, kind: type[T]) -> T:
        """Return an option of the run. Raises DeepicdError where it is absent or of another type."""
        value = self.options.get(name)
        if not isinstance(value, kind):
            raise DeepicdError(
                f"The record of `deepicd {self.command}` has {value!r} as its option {name}.",
                f"It should be of type {kind.__name__}; make the folder again with the stage that wrote it.",
            )
        return value

    def strip_paths(self) -> dict[str, object]:
        """Return the record as a lineage carries it: without paths of this machine, and without its own lineage."""
        kept = {name: value for name, value in self.dump().items() if name not in ("argv", "checksum", "lineage")}
        kept["inputs"] = {role: {"digest": entry.digest} for role, entry in self.inputs.items()}
        return kept


def make_portable(record: Mapping[str, object]) -> dict[str, Any]:
    """Return a record as others may have it, its lineage included: without paths, addresses and digests to try.

    Keys of runs are digests of their options, and so are empty. Of credentialed stages before this one only the files
    of the cohort keep digests: others may hold a few ids or small counts alone (splits.csv, excluded.parquet).
    """
    portable: dict[str, Any] = strip_local(record) | {"key": ""}
    for stage in portable.get("lineage", {}).values():
        stage["key"] = ""
        if stage["origin"] == "mimic":
            kept = COHORT_FILES if stage["command"] == "build" else ()
            stage["outputs"] = {name: file for name, file in stage["outputs"].items() if name in kept}
    return portable


def strip_local(value: object) -> Any:
    """Return a part of a record without the keys in LOCAL and TRIABLE and without folders of paths, at any depth."""
    if isinstance(value, Mapping):
        return {key: strip_local(entry) for key, entry in value.items() if key not in LOCAL | TRIABLE}
    if isinstance(value, list):
        return [strip_local(entry) for entry in value]
    if isinstance(value, str) and _PATH.match(value):
        return re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    return value


def parse_model(kind: type[M], value: object, source: str) -> M:
    """Return the model of plain values. Raises DeepicdError that names the source and the field that is wrong."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        what = f"{place} is missing" if first["type"] == "missing" else f"{place}: {first['msg']}"
        raise DeepicdError(
            f"{source} is not a complete record of a stage: {what}.",
            "Make the folder again with the stage that wrote it, in this version.",
        ) from error


@dataclass(frozen=True, slots=True)
class FileChanges:
    """How the files of a folder differ from those that a record names."""

    missing: list[str]
    changed: list[str]
    added: list[str]

    def __bool__(self) -> bool:
        return bool(self.missing or self.changed or self.added)

    def __str__(self) -> str:
        """Return 'missing: a.parquet; changed: b.parquet', with five names of each at most."""
        parts = {"missing": self.missing, "changed": self.changed, "not of this run": self.added}
        return "; ".join(f"{what}: {', '.join(names[:5])}" for what, names in parts.items() if names)


def compare_files(
    folder: Path, outputs: Mapping[str, OutputFile], *, content: bool, closed: Collection[str] = ()
) -> FileChanges:
    """Compare the files of a folder with what its record says of them: sizes, and with `content` their digests too.

    `closed`: subfolders in which a file that the record does not name is a difference as well.
    """
    missing = [name for name in outputs if not (folder / name).is_file()]
    present = [name for name in outputs if name not in missing]
    changed = [name for name in present if (folder / name).stat().st_size != outputs[name].bytes]
    if content:
        same_size = [name for name in present if name not in changed]
        with ThreadPoolExecutor() as pool:  # digest_path caches them for whoever asks next
            digests = pool.map(storage.digest_path, [folder / name for name in same_size])
            changed += [name for name, digest in zip(same_size, digests, strict=True) if digest != outputs[name].sha256]
    files = [path for part in closed if (folder / part).is_dir() for path in storage.list_files(folder / part)]
    added = {path.relative_to(folder).as_posix() for path in files} - outputs.keys()
    return FileChanges(sorted(missing), sorted(changed), sorted(added))


def describe_files(folder: Path) -> dict[str, OutputFile]:
    """Return size and digest of every file of a folder, as a record names them."""
    return {
        path.relative_to(folder).as_posix(): OutputFile(bytes=path.stat().st_size, sha256=storage.digest_path(path))
        for path in storage.list_files(folder)
    }


def inherit_origin(origin: Origin, lineage: Mapping[str, Record]) -> Origin:
    """Return the origin of what is made from rows of `origin` and from everything in the lineage."""
    return storage.combine_origins([origin, *(record.origin for record in lineage.values())])


class RunDescription(Protocol):
    """What distinguishes one run from another."""

    @property
    def version(self) -> str: ...
    @property
    def options(self) -> Mapping[str, JsonValue]: ...
    @property
    def inputs(self) -> Mapping[str, Input]: ...


@dataclass(frozen=True)
class Plan(Generic[R]):
    """Everything that decides a stage's output. Two runs of one plan make the same output, sampling aside."""

    kind: type[R]
    command: str
    options: Mapping[str, object]
    inputs: Mapping[str, Input]
    lineage: Mapping[str, Record]

    @property
    def key(self) -> str:
        return storage.digest_json(
            {
                "command": self.command,
                "version": __version__,
                "options": self.options,
                "inputs": {role: entry.digest for role, entry in self.inputs.items()},
            }
        )


@dataclass
class Run(Generic[R]):
    """A stage at work: where it writes, and what it will record."""

    folder: Path
    plan: Plan[R]
    origin: Origin
    counts: Counts = field(default_factory=Counts)
    notes: list[str] = field(default_factory=list)
    is_portable: bool = False
    """Whether the folder is for others: its record then names no path of this machine."""
    finished: R | None = None

    @property
    def record(self) -> R:
        """What run.json says. Available once the block has ended without an error."""
        if self.finished is None:
            raise RuntimeError("A run has no record before its block ends.")
        return self.finished


def describe_difference(record: RunDescription, plan: Plan[R]) -> str:
    """Return how a recorded run differs from a plan: 'option seed was 1, now 2; input hosp differs'."""
    then, now = record.options, parse_json(json.dumps(plan.options))  # as read again: lists, not tuples
    parts = [
        f"option {name} was {then.get(name)!r}, now {now.get(name)!r}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
    parts += [
        f"input {role} differs"
        for role in sorted({*record.inputs, *plan.inputs})
        if _get_digest(record.inputs, role) != _get_digest(plan.inputs, role)
    ]
    if record.version != __version__:
        parts.append(f"it was made by version {record.version}, this is {__version__}")
    return "; ".join(parts) or "its record differs"


def _get_digest(inputs: Mapping[str, Input], role: str) -> str | None:
    return inputs[role].digest if role in inputs else None
