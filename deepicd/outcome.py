"""The sealed outcome of a stay: what was known only after admission, and who may know it.

    for outcome in read_outcomes(Path("out/cohort"), "train", reader="verify"):
        outcome.reveal("Brief Hospital Course")

`build` writes COHORT/outcome/<split>.parquet. A trace, a prompt, a dataset and a card must never hold any of it, or a
model would learn from what it is to predict. So the files are sealed: `storage.open_parquet` refuses them, this module
alone opens them, and only for a reader on the list. An `Outcome` shows nothing when it is printed, formatted or logged.
tests/deepicd/test_outcome.py draws who imports this module.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.schema import OUTCOME
from deepicd.storage import Origin

if TYPE_CHECKING:
    import pyarrow.parquet as pq

FOLDER = "outcome"
Reader = Literal["verify", "reward"]
"""Who may read outcomes: `deepicd verify` and the reward of GRPO. What they make of them is scores, never a prompt for
teacher or student."""
CodesReader = Literal["assemble"]
"""Who may read the codes alone: `deepicd assemble --config multi`. They are what a model is to predict there, as the
first diagnosis is elsewhere; they become answers and true codes, never a prompt. No section of the note is read."""

BATCH = 64  # rows; an outcome is some 10 kB


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one stay."""

    note_id: str = field(repr=False)
    hadm_id: int = field(repr=False)
    icd_codes: tuple[str, ...] = field(repr=False)
    """All codes in billing order, without dots, the first diagnosis first."""
    days: float | None = field(repr=False)
    died: bool | None = field(repr=False)
    icu: bool | None = field(repr=False)
    _sections: tuple[tuple[str, str], ...] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of its sections in the note's order, each once."""
        return tuple(dict.fromkeys(name for name, _ in self._sections))

    def reveal_sections(self) -> tuple[tuple[str, str], ...]:
        """Return (name, text) of all sections in the note's order."""
        return self._sections

    def reveal(self, *names: str) -> str:
        """Return the text of some sections, each under its header; of all if none is named."""
        chosen = [(name, text) for name, text in self._sections if not names or name in names]
        return "\n\n".join(f"{name}:\n{text}" for name, text in chosen)


def read_outcomes(cohort: Path, split: str, *, reader: Reader) -> Iterator[Outcome]:
    """Yield the outcomes of a split in the cohort's order. Raises DeepicdError for a cohort without them."""
    if reader not in get_args(Reader):
        raise DeepicdError(
            f"{reader!r} may not read the sealed outcome.", f"It is for {', '.join(get_args(Reader))} alone."
        )
    path = _find_file(cohort, split)
    for batch in storage.open_parquet(path, OUTCOME, is_sealed=True).iter_batches(BATCH, columns=OUTCOME.names):
        for row in batch.to_pylist():
            if None in (row["icd_codes"], row["sections"]) or None in row["sections"]:
                raise DeepicdError(f"{path} has a row without codes or sections.", "Build the cohort again.")
            yield Outcome(
                note_id=row["note_id"],
                hadm_id=row["hadm_id"],
                icd_codes=tuple(row["icd_codes"]),
                days=row["days"],
                died=row["died"],
                icu=row["icu"],
                _sections=tuple((section["name"], section["text"]) for section in row["sections"]),
            )


def read_codes(cohort: Path, split: str, *, reader: CodesReader) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield note_id and all codes, in billing order, of each row in the cohort's order, and nothing else."""
    if reader not in get_args(CodesReader):
        raise DeepicdError(
            f"{reader!r} may not read the codes of the sealed outcome.",
            f"They are for {', '.join(get_args(CodesReader))}.",
        )
    columns = ["note_id", "icd_codes"]
    for batch in storage.open_parquet(_find_file(cohort, split), OUTCOME, is_sealed=True).iter_batches(columns=columns):
        for row in batch.to_pylist():
            yield row["note_id"], tuple(row["icd_codes"] or ())  # a stay without codes is refused by its reader


def _find_file(cohort: Path, split: str) -> Path:
    path = cohort / FOLDER / f"{split}.parquet"
    if not path.is_file():
        raise DeepicdError(
            f"{cohort} holds no sealed outcome.", "Build it again: `deepicd build` of this version writes outcome/."
        )
    return path


@contextmanager
def open_writer(folder: Path, split: str, origin: Origin) -> Iterator["pq.ParquetWriter"]:
    """Yield a writer of FOLDER/outcome/<split>.parquet, which is sealed."""
    path = folder / FOLDER / f"{split}.parquet"
    with storage.open_parquet_writer(path, OUTCOME, origin, is_sealed=True) as writer:
        yield writer
