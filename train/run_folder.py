"""A training's folder: it keeps checkpoints from one start to the next, for the same recipe, model and dataset only.

    with workshop(out, plan, origin, overwrite=False) as shop:
        fit(shop.checkpoints, resume=last_checkpoint(shop.checkpoints))
        save(shop.run.folder / "model")
    return shop.run.record

OUT/model and OUT/run.json are the outcome. What only a further start needs is hidden: OUT/.checkpoints, and
OUT/.plan.json, which says whose they are before run.json does.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import JsonValue

from deepicd import __version__, records, storage
from deepicd.errors import DeepicdError
from deepicd.storage import Origin

MODEL = "model"
PLAN = ".plan.json"


R = TypeVar("R", bound=records.Record)


class Start(records.Model):
    """OUT/.plan.json: whose checkpoints these are."""

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
    out: Path, plan: records.Plan[R], origin: Origin, *, overwrite: bool
) -> Iterator[TrainingFolder[R]]:
    """The folder, held for this process. Raises DeepicdError where it belongs to another training.

    `origin` is the rows'. A model of ours that training starts from has its own, and one credentialed source is enough.
    """
    out = out.resolve()
    origin = records.inherit_origin(origin, plan.lineage)
    check_training_folder(out, plan, overwrite=overwrite)
    if overwrite and out.is_dir() and not _same(out, plan):
        for path in out.iterdir():
            storage.remove(path)
    with records.resumable_folder(out, plan, origin) as run:
        storage.write_json(out / PLAN, _described(plan).dump())
        yield TrainingFolder(run)


def check_training_folder(out: Path, plan: records.Plan[R], *, overwrite: bool) -> None:
    """Raise unless `out` is free, or this plan's own, finished or not."""
    began = out / PLAN
    if not began.is_file():
        records.refuse_other_content(out, plan, overwrite=overwrite)
        return
    there = _read_start(began)
    if there.command != plan.command:
        raise DeepicdError(f"{out} belongs to `deepicd {there.command}`.", "Choose another folder.")
    if not overwrite and not _same(out, plan):
        raise DeepicdError(
            f"{out} holds checkpoints of another training: {records.describe_difference(there, plan)}.",
            "Choose another folder, give the recipe it was started with, or pass --overwrite to begin anew.",
        )


def read_model_origin(model: str) -> Origin:
    """The origin of what a model has read, as far as a record beside it tells: OUT/model, or a copy of OUT."""
    for folder in (Path(model), Path(model).parent):
        if Path(model).is_dir() and (record := records.read(folder)):
            return records.inherit_origin(record.origin, record.lineage)
    return "public"


def find_last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of TRL's trainer: its state is written last."""
    whole = [path for path in folder.glob("checkpoint-*") if _is_json(path / "trainer_state.json")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _is_json(path: Path) -> bool:
    try:
        return path.is_file() and bool(storage.read_json(path))
    except DeepicdError:
        return False


def _same(out: Path, plan: records.Plan[R]) -> bool:
    path = out / PLAN
    return path.is_file() and _read_start(path).key == plan.key


def _read_start(path: Path) -> Start:
    return records.parse_model(Start, storage.read_json(path), str(path))


def _described(plan: records.Plan[R]) -> Start:
    options = json.loads(json.dumps(plan.options))  # lists for tuples
    return Start(command=plan.command, version=__version__, key=plan.key, options=options, inputs=dict(plan.inputs))
