"""Train, validation and test, stratified by code: 70 / 10 / 20 %, as the paper splits (65,228 / 9,260 / 18,654).

Rows are walked code by code, in an order drawn from the seed, and each goes to the split that lags furthest behind its
share: the shares then hold over the whole cohort and nearly so within every code. A code's first row always goes to
train, so that no split asks for a code that train never shows (the paper leaves open what it did with rare codes).
Patients may appear on both sides; the paper's do.
"""

import hashlib
from collections.abc import Iterable

SHARES = {"train": 0.7, "test": 0.2, "validation": 0.1}  # DeepICD-R1, section on the dataset


def stratified(rows: Iterable[tuple[str, str]], seed: int) -> dict[str, str]:
    """note_id → split, from (note_id, icd_code) rows in any order. The same rows and seed give the same splits."""
    ordered = sorted(rows, key=lambda row: (row[1], hashlib.sha256(f"{seed}:{row[0]}".encode()).digest()))
    given = dict.fromkeys(SHARES, 0)
    split_of: dict[str, str] = {}
    before = None
    for done, (note_id, code) in enumerate(ordered):
        lag = {name: share * (done + 1) - given[name] for name, share in SHARES.items()}
        split = "train" if code != before else max(lag, key=lag.__getitem__)
        given[split] += 1
        split_of[note_id] = split
        before = code
    return split_of
