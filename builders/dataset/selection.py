"""Select which of a row's kept traces the dataset gets, by what `judge` and `verify` said of them.

    choose("best", [{"rollout": 1, "judge_score": 3.0, …}, {"rollout": 2, "judge_score": 4.5, …}])
    # ({"rollout": 2, …}, "judge")

A rule is a list of criteria, the most telling first; a criterion turns a trace into a number, and the smallest wins. To
add one, write a function and name it in `CRITERIA`; a column of the traces that it reads goes into `COLUMNS`.

    rows = RowsByNote(read_rows(folder / "scores", SCORES, ["note_id", "trace_sha256", "score"]))
    rows.take("10000032-DS-21")      # [{"note_id": …, "trace_sha256": …, "score": 4}, …]

Judge and verification write in the traces' order, so that one row is in memory; in any other order, more wait there.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.schema import SPLITS, VERIFIED
from deepicd.stage_records import VerifyRecord

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
"""A kept trace: `COLUMNS`, rollout, words, judge_score (None without scores) and `verification`, its row of
schema.VERIFIED (None without one)."""

_CLAIMS = ("numbers", "drugs", "quotes")
COLUMNS = (*_CLAIMS, *(f"{kind}_in_note" for kind in _CLAIMS), "giveaways", "repeated", "other_script")
ONLY_ONE = "the only one"
VERIFICATION = "verified"  # the folder in an output of `deepicd verify`
BATCH = 256  # rows in memory at once


def _measure_support(trace: Row) -> float:
    """Return the share of what a trace cites that is in the note; one that cites nothing shows no support."""
    cited = sum(trace[kind] for kind in _CLAIMS)
    in_note = sum(trace[f"{kind}_in_note"] for kind in _CLAIMS)
    return -in_note / cited if cited else 0.0


def _read_verification(name: str, missing: float) -> Callable[[Row], float]:
    """Return a criterion that prefers high values of a column of the verification."""

    def measure(trace: Row) -> float:
        value = trace["verification"][name]
        return -(missing if value is None else value)

    return measure


def _measure_borne_out(trace: Row) -> float:
    """Return refuted less confirmed expectations: a trace that expects nothing stands between."""
    verification = trace["verification"]
    return float((verification["refuted"] or 0) - (verification["confirmed"] or 0))


CRITERIA: dict[str, Callable[[Row], float]] = {
    "verdict": lambda trace: float(len(trace["verification"]["failed_for"])),
    "lift": _read_verification("lift", 0.0),
    "borne out": _measure_borne_out,
    "points": _read_verification("met", 0.0),
    "judge": lambda trace: -(trace["judge_score"] or 0.0),  # a trace without a score comes last
    "support": _measure_support,
    "giveaways": lambda trace: float(trace["giveaways"]),
    "repetition": lambda trace: float(trace["repeated"]),
    "script": lambda trace: float(trace["other_script"]),
    "length": lambda trace: float(trace["words"]),  # of two equals, the shorter
    "order": lambda trace: float(trace["rollout"]),
}
_CHECKS = ("support", "giveaways", "repetition", "script", "order")
_VERIFICATION = ("verdict", "lift", "borne out", "points")
RULES: dict[str, tuple[str, ...]] = {
    "best": ("judge", *_CHECKS),
    "checks": _CHECKS,
    "first": ("order",),
    "strongest": (*_VERIFICATION, "judge", "support", "length", "order"),
    "verified": (*_VERIFICATION, "judge", "support", "length", "order"),
}
NEED_VERIFICATION = ("strongest", "verified")


def choose(rule: str, traces: Iterable[Row]) -> tuple[Row, str] | None:
    """Return the trace that a rule puts first, and the criterion that set it apart from the next.

    None if the rule is `verified` and the best one fails a check.
    """
    names = RULES[rule]
    ranked = sorted(([CRITERIA[name](trace) for name in names], place, trace) for place, trace in enumerate(traces))
    key, _, chosen = ranked[0]
    if rule == "verified" and chosen["verification"]["failed_for"]:
        return None
    if len(ranked) == 1:
        return chosen, ONLY_ONE
    decided = (name for name, own, other in zip(names, key, ranked[1][0], strict=True) if own != other)
    return chosen, next(decided, "order")


class RowsByNote:
    """Rows with a `note_id`, those of a note one after the other."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self._waiting: defaultdict[str, list[Row]] = defaultdict(list)

    def take(self, note_id: str) -> list[Row]:
        """Return the rows of a note; none if there are none, or if they were taken."""
        found = self._waiting.pop(note_id, [])
        for row in self._rows:
            if row["note_id"] == note_id:
                found.append(row)
                continue
            self._waiting[row["note_id"]].append(row)
            if found:
                break
        return found

    def take_rest(self) -> Iterator[Row]:
        """Yield all rows that were not taken."""
        for rows in self._waiting.values():
            yield from rows
        yield from self._rows


def read_rows(folder: Path, schema: "pa.Schema", columns: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a folder's files, split by split as cohorts and traces are read."""
    for path in (path for split in SPLITS for path in sorted(folder.glob(f"{split}-*.parquet"))):
        for batch in storage.open_parquet(path, schema).iter_batches(BATCH, columns=list(columns)):
            yield from batch.to_pylist()


def find_verification(folder: Path | None, rule: str) -> Path | None:
    """Return the folder of a finished verification. Raises DeepicdError where a rule needs one and none is given."""
    if folder is None:
        if rule in NEED_VERIFICATION:
            raise DeepicdError(f"--select {rule} needs what `deepicd verify` found.", "Name its output: --verified DIR")
        return None
    return records.find_run_folder(folder, VerifyRecord, VERIFICATION)[0]


def read_verification(folder: Path | None) -> RowsByNote | None:
    """Return the rows of a verification; None without one."""
    return RowsByNote(read_rows(folder / VERIFICATION, VERIFIED, VERIFIED.names)) if folder else None


def require_verification(rows: Mapping[str, Row], trace_sha256: str) -> Row:
    """Return the row of a trace. Raises DeepicdError where the verification has none: it was of other traces."""
    row = rows.get(trace_sha256)
    if row is None:
        raise DeepicdError(
            "The verification lacks some of these traces: it is of others, or was limited.",
            "Verify these traces: deepicd verify TRACES OUT",
        )
    return row
