"""Train, validation and test: 70 / 10 / 20 % as in the paper, by one of two rules, or as somebody's file says.

`patient` (default): all stays of a patient are in one split, and codes are spread as evenly as that allows. Patients
with the rarest codes come first; each goes to the split that lags furthest behind in the patient's codes.
`stratified`: the paper's rule. Rows are assigned code by code; each goes to the split that lags furthest behind its
share. Patients may then be in several splits, as in the paper.

Ties are ordered by the seed. The first row (or patient) with a code goes to train, so that train has every code; the
paper does not say what it did with rare codes.

A file says for each note, stay or patient where it belongs:

    note_id,split                       hadm_id,split          subject_id,split
    10000019-DS-21,train                20000019,val           10000019,test

It is CSV (gzipped or not), parquet or feather, also the splits.csv of another cohort. Other columns are ignored; where
there are several ids the first of note_id, hadm_id and subject_id counts. A column `_id` or `id` is told by its values.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.paper import SPLIT_SHARES
from deepicd.schema import SPLITS

if TYPE_CHECKING:
    import duckdb

Rule = Literal["patient", "stratified"]


@dataclass(frozen=True, slots=True)
class Stay:
    """The part of a row that a rule uses."""

    note_id: str
    subject_id: int
    code: str
    hadm_id: int


class SplitSummary(TypedDict):
    """The statistics of the splits for the record."""

    rows: dict[str, int]
    codes: dict[str, int]
    patients: int
    patients_on_several_sides: int
    moved: dict[str, float]


def split_by_code(stays: Iterable[Stay], seed: int) -> dict[str, str]:
    """Return note_id → split, row by row. The same stays and seed give the same splits, in any order."""
    ordered = sorted(stays, key=lambda stay: (stay.code, _draw_rank(seed, stay.note_id)))
    placed = dict.fromkeys(SPLIT_SHARES, 0)
    split_of: dict[str, str] = {}
    previous_code = None
    for total, stay in enumerate(ordered, start=1):
        lag = {name: share * total - placed[name] for name, share in SPLIT_SHARES.items()}
        split = "train" if stay.code != previous_code else max(lag, key=lag.__getitem__)
        placed[split] += 1
        split_of[stay.note_id] = split
        previous_code = stay.code
    return split_of


def split_by_patient(stays: Iterable[Stay], seed: int) -> dict[str, str]:
    """Return note_id → split, patient by patient."""
    of_patient: defaultdict[int, list[Stay]] = defaultdict(list)
    for stay in stays:
        of_patient[stay.subject_id].append(stay)
    frequency = Counter(stay.code for group in of_patient.values() for stay in group)

    def rank(group: Sequence[Stay]) -> tuple[int, bytes]:
        return min(frequency[stay.code] for stay in group), _draw_rank(seed, str(group[0].subject_id))

    placed = {name: Counter[str]() for name in SPLIT_SHARES}  # code → rows; the code '' counts all
    seen: Counter[str] = Counter()
    split_of: dict[str, str] = {}
    for group in sorted(of_patient.values(), key=rank):
        codes = [stay.code for stay in group]
        seen[""] += len(codes)
        for code in codes:
            seen[code] += 1
        if any(seen[code] == codes.count(code) for code in codes):
            split = "train"  # the first patient with a code
        else:
            # how far a split lags behind in these codes, and, to a tenth, in rows of any code
            lag = {
                name: sum([share * seen[code] - placed[name][code] for code in codes]) / len(codes)
                + (share * seen[""] - placed[name][""]) / 10
                for name, share in SPLIT_SHARES.items()
            }
            split = max(lag, key=lag.__getitem__)
        placed[split][""] += len(codes)
        for stay in group:
            placed[split][stay.code] += 1
            split_of[stay.note_id] = split
    return split_of


RULES: Mapping[str, Callable[[Iterable[Stay], int], dict[str, str]]] = {
    "patient": split_by_patient,
    "stratified": split_by_code,
}


def summarize_splits(stays: Sequence[Stay], split_of: Mapping[str, str]) -> SplitSummary:
    """Return rows and codes per split, patients, patients in more than one split, and how far codes moved.

    `moved`: half the summed distance between the code distributions of a split and of all rows, 0 (alike) to 1.
    """
    sides = Counter(subject for subject, _ in {(stay.subject_id, split_of[stay.note_id]) for stay in stays})
    codes: dict[str, Counter[str]] = {name: Counter() for name in SPLIT_SHARES}
    for (split, code), number in Counter((split_of[stay.note_id], stay.code) for stay in stays).items():
        codes[split][code] = number
    everything = sum(codes.values(), Counter[str]())
    return {
        "rows": {name: counted.total() for name, counted in codes.items()},
        "codes": {name: len(counted) for name, counted in codes.items()},
        "patients": len(sides),
        "patients_on_several_sides": sum(number > 1 for number in sides.values()),
        "moved": {name: round(_measure_distance(counted, everything), 4) for name, counted in codes.items() if counted},
    }


def _measure_distance(some: Counter[str], everything: Counter[str]) -> float:
    """Return half the summed distance between two distributions."""
    rows, total = some.total(), everything.total()
    return sum(abs(some[code] / rows - number / total) for code, number in everything.items()) / 2


def _draw_rank(seed: int, text: str) -> bytes:
    """Return a sort key that is pseudorandom, by the seed."""
    return hashlib.sha256(f"{seed}:{text}".encode()).digest()


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
    path = storage.expand_home(path)
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
