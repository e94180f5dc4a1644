"""A training's folder: it keeps checkpoints from one start to the next, for the same recipe, model and dataset only.

    with open_training_folder(out, plan, origin, overwrite=False) as folder:
        fit(folder.checkpoints, resume=find_last_checkpoint(folder.checkpoints))
        save(folder.model)
    return folder.run.record

OUT/model and OUT/run.json are the result. What only a later start needs is hidden: OUT/.checkpoints, and
OUT/.plan.json, which identifies their run before run.json exists.
"""

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import JsonValue

from deepicd import __version__, records, storage
from deepicd.errors import DeepicdError
from deepicd.parsing import parse_json
from deepicd.storage import Origin

MODEL = "model"
PLAN = ".plan.json"


R = TypeVar("R", bound=records.Record)


class StartedRun(records.Model):
    """OUT/.plan.json: the run that the checkpoints belong to."""

    command: str
    version: str
    key: str
    options: dict[str, JsonValue]
    inputs: dict[str, records.Input]


@dataclass(frozen=True)
class TrainingFolder(Generic[R]):
    run: records.Run[R]

    @property
    def checkpoints(self) -> Path:
        return self.run.folder / ".checkpoints"

    @property
    def model(self) -> Path:
        return self.run.folder / MODEL


@contextmanager
def open_training_folder(
    out: Path, plan: records.Plan[R], origin: Origin, *, overwrite: bool, free: Collection[str] = ()
) -> Iterator[TrainingFolder[R]]:
    """Yield the folder, locked for this process. Raises DeepicdError if it belongs to another training.

    `origin` is that of the rows; a model that was trained here brings its own. One credentialed source is enough.
    `free`: options that a run may be resumed with other values of, such as the number of devices.
    """
    out = out.resolve()
    origin = records.inherit_origin(origin, plan.lineage)
    check_training_folder(out, plan, overwrite=overwrite, free=free)
    if overwrite and out.is_dir() and not _has_plan(out, plan, free):
        for path in out.iterdir():
            storage.remove(path)
    with records.open_resumable_folder(out, plan, origin) as run:
        if (out / PLAN).is_file() and (change := records.describe_difference(_read_started_run(out), plan)):
            run.notes.append(f"resumed from a start with other settings: {change}")
        storage.write_json(out / PLAN, _describe_plan(plan).dump())
        yield TrainingFolder(run)


def check_training_folder(out: Path, plan: records.Plan[R], *, overwrite: bool, free: Collection[str] = ()) -> None:
    """Raise unless `out` is free or holds a run of this plan, finished or not."""
    if not (out / PLAN).is_file():
        records.refuse_other_content(out, plan, overwrite=overwrite)
        return
    started = _read_started_run(out)
    if started.command != plan.command:
        raise DeepicdError(f"{out} belongs to `deepicd {started.command}`.", "Choose another folder.")
    if not overwrite and not _has_plan(out, plan, free):
        raise DeepicdError(
            f"{out} holds checkpoints of another training: {records.describe_difference(started, plan)}.",
            "Choose another folder, give the recipe it was started with, or pass --overwrite to start over.",
        )


def read_model_origin(model: str) -> Origin:
    """Return the origin of a model's training rows by the record in its folder or above; 'public' without one."""
    for folder in (Path(model), Path(model).parent):
        if Path(model).is_dir() and (record := records.read(folder)):
            return records.inherit_origin(record.origin, record.lineage)
    return "public"


def find_last_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint of TRL's trainer: it writes the state last."""
    complete = [path for path in folder.glob("checkpoint-*") if _is_json(path / "trainer_state.json")]
    return max(complete, key=parse_step, default=None)


def parse_step(checkpoint: Path) -> int:
    """Return the step in a checkpoint's name.

    >>> parse_step(Path("out/.checkpoints/checkpoint-40"))
    40
    """
    return int(checkpoint.name.rpartition("-")[2])


def _is_json(path: Path) -> bool:
    try:
        return path.is_file() and bool(storage.read_json(path))
    except DeepicdError:
        return False


def _has_plan(out: Path, plan: records.Plan[R], free: Collection[str]) -> bool:
    """Return whether OUT holds this run: finished, or started with the same options but for those that are free."""
    if not (out / PLAN).is_file():
        return False
    started, wanted = _read_started_run(out), _describe_plan(plan)
    if started.key == plan.key or records.read(out) is not None:
        return started.key == plan.key
    same = {name: value for name, value in started.options.items() if name in free}
    digests = [{role: one.digest for role, one in run.inputs.items()} for run in (started, wanted)]
    return started.options == wanted.options | same and digests[0] == digests[1]


def _read_started_run(out: Path) -> StartedRun:
    return records.parse_model(StartedRun, storage.read_json(out / PLAN), str(out / PLAN))


def _describe_plan(plan: records.Plan[R]) -> StartedRun:
    options = parse_json(json.dumps(plan.options))  # lists for tuples
    return StartedRun(
        command=plan.command, version=__version__, key=plan.key, options=options, inputs=dict(plan.inputs)
    )
