"""The files of a dataset's configs, written from rows as they come; memory holds a row group per config.

OUT/sft/train-00000-of-00003.parquet    ROWS_PER_FILE rows each, named as `datasets` names shards
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from builders.dataset.code_support import ListedCodes
from deepicd import storage
from deepicd.answer_form import write_answer, write_answers
from deepicd.engines.base import Message
from deepicd.icd10cm import Code
from deepicd.prompts import student
from deepicd.prompts.template import PromptTemplate, load_own
from deepicd.schema import CONFIGS
from deepicd.storage import ROW_GROUP, Origin

if TYPE_CHECKING:
    import pyarrow.parquet as pq

DATA_SOURCE = "mimic-reason"  # reward functions recognise the dataset by it
ROWS_PER_FILE = 25_000

Row = dict[str, Any]


class Joined(NamedTuple):
    """A row of the cohort with what belongs to it."""

    row: Row
    trace: Row | None
    """The one that was chosen for it, if any."""
    listed: ListedCodes | None = None
    """The codes of its stay, for the config multi."""


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
        for index, one in enumerate(joined):
            place = {"split": split, "index": index, "note_id": one.row["note_id"], "note": one.row["admission_note"]}
            for config, converted in _convert_row(template, place, one):
                files[config].add(converted)
    return {config: written.rows for config, written in files.items() if written.rows}


def _convert_row(template: PromptTemplate, place: Row, joined: Joined) -> Iterator[tuple[str, Row]]:
    """Yield a row in the form of each config that has it. `place`: the column extra_info."""
    row, trace, listed = joined
    prompt, code = student.build_messages(row["admission_note"], template), row["icd_code"]
    yield "grpo", _build_grpo_row(prompt, code, place)
    if listed is not None:
        yield "multi", _build_multi_row(listed, trace, place)
    if trace is None:
        return
    answer = {"role": "assistant", "content": write_answer(trace["trace"], Code(code))}
    yield "sft", {"prompt": prompt, "completion": [answer], "note_id": row["note_id"], "icd_code": code}
    yield "traces", {**row, **trace}
    if trace.get("verification"):
        yield "verified", {**row, **trace["verification"], **trace, "icd_code": code}


def _build_grpo_row(prompt: list[Message], truth: str, place: Row) -> Row:
    return {
        "data_source": DATA_SOURCE,
        "prompt": prompt,
        "ability": "diagnosis",
        "reward_model": {"style": "rule", "ground_truth": truth},
        "extra_info": place,
    }


def _build_multi_row(listed: ListedCodes, trace: Row | None, place: Row) -> Row:
    """Return a row that asks for several diagnoses, with the answer where there is a trace: it argues for the first."""
    prompt = student.build_messages(place["note"], load_own(student.SEVERAL))
    values = [code.value for code in listed.codes]
    answer = trace and {"role": "assistant", "content": write_answers(trace["trace"], listed.codes)}
    return _build_grpo_row(prompt, ", ".join(values), place) | {
        "completion": [answer] if answer else None,
        "note_id": place["note_id"],
        "icd_codes": values,
        "not_supported": [code.value for code in listed.not_supported],
        "support": [
            {"icd_code": one.code.value, "by": one.by, "note_start": one.start, "note_end": one.end}
            for one in listed.support
        ],
    }


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
