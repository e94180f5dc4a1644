"""Read somebody else's split: a file that says for each note, stay or patient where it belongs.

    note_id,split                       hadm_id,split          subject_id,split
    10000019-DS-21,train                20000019,val           10000019,test

Also the splits.csv of another cohort. CSV (gzipped or not), parquet or feather; other columns are ignored, and where
there are several ids the first of note_id, hadm_id and subject_id counts. A column `_id` or `id` is told by its values.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from builders.cohort.splits import Stay
from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.schema import SPLITS

if TYPE_CHECKING:
    import duckdb

LEVELS: Mapping[str, tuple[str, Callable[[Stay], str]]] = {
    "note_id": ("notes", lambda stay: stay.note_id),
    "hadm_id": ("stays", lambda stay: str(stay.hadm_id)),
    "subject_id": ("patients", lambda stay: str(stay.subject_id)),
}
FORMS = {"note_id": r"\d+-DS-\d+", "hadm_id": r"2\d{7}", "subject_id": r"1\d{7}"}
"""MIMIC's ids, which tell what a column `_id` holds."""
UNNAMED = ("_id", "id")
ALIASES = {"training": "train", "val": "validation", "valid": "validation", "dev": "validation", "testing": "test"}
ENDINGS = (".csv", ".csv.gz", ".parquet", ".feather", ".arrow")

CLEAN = """
select distinct
    regexp_replace(trim(cast({column} as varchar)), '[.]0$', '') as id, -- pandas writes whole numbers with gaps as 1.0
    lower(trim(cast({split} as varchar))) as split
from rows_of_file
"""


@dataclass(frozen=True, slots=True)
class SplitFile:
    """The content of such a file."""

    path: Path
    level: str
    """note_id, hadm_id or subject_id."""
    split_of: Mapping[str, str]
    """Id → split."""
    digest: str

    def assign(self, stays: Iterable[Stay]) -> dict[str, str]:
        """Return note_id → split for the stays that the file covers."""
        _, get_id = LEVELS[self.level]
        return {stay.note_id: split for stay in stays if (split := self.split_of.get(get_id(stay)))}

    def describe_coverage(self, stays: Iterable[Stay]) -> str:
        """Return a sentence on what the file covers of a cohort's stays, and what of the file is not among them."""
        what, get_id = LEVELS[self.level]
        ids = {get_id(stay) for stay in stays}
        used = sum(entry in ids for entry in self.split_of)
        return (
            f"The splits are those of a file, by {self.level}. It covers {used:,} of the cohort's {len(ids):,} {what};"
            f" {len(self.split_of) - used:,} others in it are not in the cohort."
        )


def read_split_file(path: Path) -> SplitFile:
    """Return the split in a file. Raises DeepicdError if it cannot be read, or puts an id into two splits."""
    path = path.expanduser()
    if not path.is_file():
        raise DeepicdError(f"There is no file {path}.", "Name a file with an id and a split: --splits splits.csv")
    level, rows = _read_rows(path)
    pairs = [(key, ALIASES.get(split, split)) for key, split in rows if key and split]
    if len(pairs) < len(rows):
        raise _build_error(path, f"{len(rows) - len(pairs):,} rows lack an id or a split")
    if strange := sum(split not in SPLITS for _, split in pairs):
        raise _build_error(path, f"{strange:,} entries are in none of the splits {', '.join(SPLITS)}")
    split_of = dict(pairs)
    if doubled := len(set(pairs)) - len(split_of):
        raise _build_error(path, f"{doubled:,} {LEVELS[level][0]} are in more than one split")
    if not split_of:
        raise _build_error(path, "it has no rows")
    return SplitFile(path, level, split_of, storage.digest_path(path))


def _read_rows(path: Path) -> tuple[str, list[tuple[str | None, str | None]]]:
    """Return which id a file has, and its distinct pairs of id and split in lower case."""
    import duckdb
    import pyarrow as pa

    try:
        with duckdb.connect() as db:
            relation = _open_relation(db, path)
            names = {name.casefold(): name for name in relation.columns}
            column = next((names[name] for name in (*LEVELS, *UNNAMED) if name in names), None)
            if column is None or "split" not in names:
                raise _build_error(path, "it lacks a column split, or one of note_id, hadm_id, subject_id and _id")
            clean = CLEAN.format(column=f'"{column}"', split=f'"{names["split"]}"')
            relation.create_view("rows_of_file")
            rows = db.execute(clean).fetchall()
    except (duckdb.Error, pa.ArrowException, OSError) as error:  # their messages may quote a row
        raise _build_error(path, f"it cannot be read ({type(error).__name__})") from None
    return _name_level(path, column, rows), rows


def _open_relation(db: "duckdb.DuckDBPyConnection", path: Path) -> "duckdb.DuckDBPyRelation":
    if path.name.endswith((".csv", ".csv.gz")):
        return db.read_csv(str(path), header=True, all_varchar=True)
    if path.suffix == ".parquet":
        return db.read_parquet(str(path))
    if path.suffix in (".feather", ".arrow"):
        from pyarrow import feather

        return db.from_arrow(feather.read_table(path))
    raise _build_error(path, f"its name does not end in {', '.join(ENDINGS)}")


def _name_level(path: Path, column: str, rows: Iterable[tuple[str | None, str | None]]) -> str:
    """Return what a column holds: by its name, or by the form of its values."""
    if (name := column.casefold()) in LEVELS:
        return name
    ids = [key for key, _ in rows if key]
    for level, form in FORMS.items():
        if all(re.fullmatch(form, key) for key in ids):
            return level
    raise _build_error(path, f"the values of its column {column} are not MIMIC's ids of notes, stays or patients")


def _build_error(path: Path, why: str) -> DeepicdError:
    return DeepicdError(
        f"{path} cannot be used as a split: {why}.",
        "Expected one row per note, stay or patient with its id and train, validation or test.",
    )
