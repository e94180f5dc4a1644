"""Train, validation and test: 70 / 10 / 20 % as in the paper, by one of two rules.

`patient` (default): all stays of a patient are in one split, and codes are spread as evenly as that allows. Patients
with the rarest codes come first; each goes to the split that lags furthest behind in the patient's codes.
`stratified`: the paper's rule. Rows are assigned code by code; each goes to the split that lags furthest behind its
share. Patients may then be in several splits, as in the paper.

Ties are ordered by the seed. The first row (or patient) with a code goes to train, so that train has every code; the
paper does not say what it did with rare codes.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from deepicd.paper import SPLIT_SHARES

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
