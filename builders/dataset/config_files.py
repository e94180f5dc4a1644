"""The files of a dataset's configs, written from rows as they come; memory holds a row group per config.

OUT/sft/train-00000-of-00003.parquet    ROWS_PER_FILE rows each, named as `datasets` names shards
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from deepicd import storage
from deepicd.answer_form import write_answer
from deepicd.icd10cm import Code
from deepicd.prompts import student
from deepicd.prompts.template import PromptTemplate
from deepicd.schema import CONFIGS
from deepicd.storage import ROW_GROUP, Origin

if TYPE_CHECKING:
    import pyarrow.parquet as pq

DATA_SOURCE = "mimic-reason"  # reward functions recognise the dataset by it
ROWS_PER_FILE = 25_000

Row = dict[str, Any]
Joined = tuple[Row, Row | None]
"""A row of the cohort, and the trace chosen for it."""


def write_split(
    folder: Path, split: str, joined: Iterable[Joined], origin: Origin, template: PromptTemplate
) -> dict[str, int]:
    """Write the files of a split for every config, in the cohort's order; return config → rows.

    A config without rows gets no file: `datasets` cannot load an empty one.
    """
    with ExitStack() as stack:
        files = {
            config: stack.enter_context(_ConfigFiles(folder / config, config, split, origin)) for config in CONFIGS
        }
        for index, (row, trace) in enumerate(joined):
            for config, converted in _convert_row(template, (split, index), row, trace):
                files[config].add(converted)
    return {config: written.rows for config, written in files.items() if written.rows}


def _convert_row(
    template: PromptTemplate, place: tuple[str, int], row: Row, trace: Row | None
) -> Iterator[tuple[str, Row]]:
    """Yield a row in the form of each config that has it. `place`: its split and its number there."""
    prompt, code = student.build_messages(row["admission_note"], template), row["icd_code"]
    yield (
        "grpo",
        {
            "data_source": DATA_SOURCE,
            "prompt": prompt,
            "ability": "diagnosis",
            "reward_model": {"style": "rule", "ground_truth": code},
            "extra_info": {
                "split": place[0],
                "index": place[1],
                "note_id": row["note_id"],
                "note": row["admission_note"],
            },
        },
    )
    if trace is None:
        return
    answer = {"role": "assistant", "content": write_answer(trace["trace"], Code(code))}
    yield "sft", {"prompt": prompt, "completion": [answer], "note_id": row["note_id"], "icd_code": code}
    yield "traces", {**row, **trace}
    if trace.get("verification"):
        yield "verified", {**row, **trace["verification"], **trace, "icd_code": code}


class _ConfigFiles(AbstractContextManager["_ConfigFiles"]):
    """The files of one config and split. Their names hold their number, so they are given at the end."""

    def __init__(self, folder: Path, config: str, split: str, origin: Origin) -> None:
        self._folder, self._split, self._origin = folder, split, origin
        self._schema = CONFIGS[config]
        self._buffer: list[Row] = []
        self._paths: list[Path] = []
        self._file = ExitStack()
        self._writer: pq.ParquetWriter | None = None
        self.rows = 0

    def add(self, row: Row) -> None:
        self._buffer.append(row)
        self.rows += 1
        is_full = self.rows % ROWS_PER_FILE == 0
        if is_full or len(self._buffer) == ROW_GROUP:
            self._write()
        if is_full:
            self._close_file()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._file.__exit__(kind, error, trace)
            return
        if self._buffer:
            self._write()
        self._close_file()
        for number, path in enumerate(self._paths):
            path.rename(path.with_name(f"{self._split}-{number:05d}-of-{len(self._paths):05d}.parquet"))

    def _write(self) -> None:
        import pyarrow as pa

        if self._writer is None:
            path = self._folder / f".{self._split}-{len(self._paths):05d}.parquet"
            self._writer = self._file.enter_context(storage.open_parquet_writer(path, self._schema, self._origin))
            self._paths.append(path)
        self._writer.write_table(pa.Table.from_pylist(self._buffer, self._writer.schema))
        self._buffer = []

    def _close_file(self) -> None:
        self._file.close()
        self._writer = None
