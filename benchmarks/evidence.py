"""Score the evidence that `deepicd.evidence` finds against rehearsed traces with planted errors, and time it.

Rehearsed traces know which of their words rest on which words of the note, and four errors are planted in each: a
changed number, the other side, a dropped negation, an invented drug. A gold claim counts as what the evidence within it
says: contradicted or absent if any of it is, else supported if any of it is and its link meets the gold place in the
note, or another place with the same words. Quotations are verbatim and planted errors lose their quotation marks, so
synonyms are hardly measured here.

Run: python -m benchmarks.evidence [COHORT] (a folder of `deepicd build` on made-up records; without it, one is made)
"""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measure import RESULTS, describe_machine
from deepicd import storage
from deepicd.evidence import Evidence, Kind, find_evidence
from deepicd.icd10cm import Code
from deepicd.schema import COHORT, SPLITS
from distill.rehearsal_claims import Claim, RehearsedTrace, plant_errors
from distill.rehearsal_trace import rehearse

TRACES = 10_000
ADMISSIONS = 2_500
GOLD_KINDS = {
    "supported": Kind.SUPPORTED,
    "inference": Kind.INFERENCE,
    "contradicted": Kind.CONTRADICTED,
    "not in the note": Kind.ABSENT,
}


@dataclass
class Scores:
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(gold kind, predicted kind) → claims."""
    errors: Counter[tuple[str, bool]] = field(default_factory=Counter)
    """(planted error, whether it was noticed) → claims."""
    claims: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(category, kind) → claims of all traces."""

    def get_recall(self, kind: str) -> float:
        total = sum(number for (gold, _), number in self.pairs.items() if gold == kind)
        return self.pairs[kind, kind] / total if total else 1.0

    def get_precision(self, kind: str) -> float:
        total = sum(number for (_, predicted), number in self.pairs.items() if predicted == kind)
        return self.pairs[kind, kind] / total if total else 1.0


def judge_claim(claim: Claim, evidence: Sequence[Evidence], note: str) -> str:
    """Return the kind that the evidence within a gold claim amounts to; 'none' where there is none."""
    inside = [item for item in evidence if item.claim_start < claim.end and item.claim_end > claim.start]
    kinds = {item.kind for item in inside}
    for kind in (Kind.CONTRADICTED, Kind.ABSENT):
        if kind in kinds:
            return kind
    if Kind.SUPPORTED in kinds:
        return (
            Kind.SUPPORTED
            if claim.note is None or any(_meets(item, claim.note, note) for item in inside)
            else "elsewhere"
        )
    return Kind.INFERENCE if kinds else "none"


def _meets(item: Evidence, place: tuple[int, int], note: str) -> bool:
    if item.note_start is None or item.note_end is None:
        return False
    if item.note_start < place[1] and item.note_end > place[0]:
        return True
    linked, gold = (
        " ".join(note[start:end].lower().split()) for start, end in ((item.note_start, item.note_end), place)
    )
    return linked in gold or gold in linked


def score(traces: Iterable[tuple[RehearsedTrace, str]], misses: list[str] | None = None) -> Scores:
    """Return the scores of traces with their notes; `misses` collects what was judged otherwise than gold says."""
    scores = Scores()
    for rehearsed, note in traces:
        evidence = find_evidence(rehearsed.text, note)
        scores.claims.update((item.category, item.kind) for item in evidence)
        for claim in rehearsed.claims:
            gold, predicted = GOLD_KINDS[claim.kind], judge_claim(claim, evidence, note)
            if gold is Kind.INFERENCE:
                continue  # sentences between the claims; a diagnosis in them may be in the note as well
            scores.pairs[gold, predicted] += 1
            if claim.error is not None:
                scores.errors[claim.error, predicted == gold] += 1
            if misses is not None and predicted != gold:
                place = note[slice(*claim.note)] if claim.note else ""
                misses.append(f"{gold} → {predicted} ({claim.error}): {rehearsed.get_words(claim)!r} / {place!r}")
    return scores


def rehearse_cohort(rows: Sequence[dict[str, Any]], number: int) -> Iterator[tuple[RehearsedTrace, str]]:
    """Yield traces with planted errors and their notes; attempts at one note do not follow one another."""
    for place in range(number):
        row = rows[place % len(rows)]
        rehearsed = rehearse(row["admission_note"], Code(row["icd_code"]), row["icd_title"], place)
        yield plant_errors(rehearsed, row["admission_note"], place), row["admission_note"]


def read_rows(cohort: Path) -> list[dict[str, Any]]:
    columns = ["admission_note", "icd_code", "icd_title"]
    return [
        row for split in SPLITS for row in storage.read_table(cohort / f"{split}.parquet", COHORT, columns).to_pylist()
    ]


def make_cohort(folder: Path) -> Path:
    from builders.cohort.build import build
    from builders.cohort.criteria import Criteria
    from builders.synthetic.synthesize import synthesize

    synthesize(folder / "mimic", ADMISSIONS, 5)
    build(folder / "mimic", folder / "mimic", folder / "cohort", Criteria())
    return folder / "cohort"


def main(cohort: Path | None = None, number: int = TRACES) -> None:
    with TemporaryDirectory() as folder:
        rows = read_rows(cohort or make_cohort(Path(folder)))
    random.Random(1).shuffle(rows)
    traces = list(rehearse_cohort(rows, number))
    clock = time.process_time()
    for rehearsed, note in traces:
        find_evidence(rehearsed.text, note)
    seconds = time.process_time() - clock
    scores = score(traces)
    kinds = [Kind.SUPPORTED, Kind.CONTRADICTED, Kind.ABSENT]
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "traces": len(traces),
        "notes": len(rows),
        "rows_per_core_second": round(len(traces) / seconds, 1),
        "characters": {"trace": _mean(len(r.text) for r, _ in traces), "note": _mean(len(note) for _, note in traces)},
        "precision": {kind: round(scores.get_precision(kind), 4) for kind in kinds},
        "recall": {kind: round(scores.get_recall(kind), 4) for kind in kinds},
        "errors_noticed": {
            error: [scores.errors[error, True], scores.errors[error, True] + scores.errors[error, False]]
            for error in sorted({error for error, _ in scores.errors})
        },
        "gold_and_found": {f"{gold} / {found}": count for (gold, found), count in sorted(scores.pairs.items())},
        "claims": {f"{category} {kind}": count for (category, kind), count in sorted(scores.claims.items())},
    }
    text = json.dumps(result, indent=2)
    print(text)
    if number >= TRACES:
        (RESULTS / "evidence.json").write_text(text + "\n", encoding="utf-8")


def _mean(lengths: Iterable[int]) -> int:
    numbers = list(lengths)
    return round(sum(numbers) / len(numbers))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
