"""Train a small student on all traces, on judged ones and on verified ones, of made-up stays with planted faults.

A trace is right, or follows the argument of a stay of another chapter and then either denies what its own stay had or
claims what the other had. Labels are right throughout, as those of a writer who was told the diagnosis.

  student    TF-IDF and a linear classifier: learns chapters from traces without the names of their diagnosis, and
             is tested on the notes of patients it has not met (three folds, drawn anew for each seed)
  judge      simulated, a lenient one and a strict one: chance decides, with the rates below; no model is asked
  verified   the rules of `deepicd verify --recipe rules`
  intervals  paired: over patients, of the means over seeds; and over seeds (faults, judges and folds are drawn anew)

Shares of faults and the judge's rates are assumptions. Results: benchmarks/results/ablation.json, docs/verification.md.
Run: python -m benchmarks.ablation     (two minutes)
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy.stats import t as student

from benchmarks.borne_out import ASSERTED, EXCLUDED, SEED, Stay, hold, plant, read_stays
from benchmarks.measure import RESULTS, describe_machine, write_into_doc
from builders.cohort.build import build
from builders.cohort.criteria import Criteria
from builders.synthetic.synthesize import synthesize
from deepicd.verification.borne_out import Verdict
from deepicd.verification.diseases import mask_diagnosis
from distill.rehearsal_trace import rehearse
from distill.verification.recipe import VerifyRecipe
from train.evaluation.intervals import CONFIDENCE, measure_spread
from train.evaluation.metrics import Indices, Numbers

ADMISSIONS, SEEDS, FOLDS = 2_000, 10, 3
FAULTY = {"denies": 0.2, "claims": 0.2}
"""Shares of all traces."""
JUDGES = {"lenient judge (simulated)": (0.9, 0.5), "strict judge (simulated)": (0.9, 0.2)}
"""Shares of right and of faulty traces that pass."""
MOST_REFUTED = VerifyRecipe(engine="rehearsal", model="none").most_refuted

RESULT = RESULTS / "ablation.json"
DOC = Path(__file__).parents[1] / "docs" / "verification.md"
START, END = "<!-- ablation: written by benchmarks.ablation -->", "<!-- end of ablation -->"

ALL, VERIFIED = "all", "verified"
MATCHED, RIGHT = "as many as verified, by chance", "right (known only here)"
PAIRS = (
    *((name, ALL) for name in (*JUDGES, VERIFIED, RIGHT)),
    (VERIFIED, MATCHED),
    *((VERIFIED, name) for name in JUDGES),
)


@dataclass(frozen=True, slots=True)
class Trace:
    text: str
    """Without the names of its diagnosis."""
    is_verified: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A stay with a right trace and one of each fault."""

    note: str
    chapter: int
    patient: int
    traces: dict[str, Trace]


def write_rows(stays: Sequence[Stay]) -> list[Row]:
    chance = random.Random(f"ablation:{SEED}")
    things = [
        [item.name for item in plant(stay, chance) if item.kind.split()[0] in ("condition", "coded")] for stay in stays
    ]
    rows = []
    for stay, own in zip(stays, things, strict=True):
        place = next(n for n in iter(lambda: chance.randrange(len(stays)), -1) if _differ(stays[n], stay))
        other = stays[place]
        traces = {
            "": _write_trace(stay, stay, [chance.choice(ASSERTED).format(name) for name in own]),
            "denies": _write_trace(stay, other, [chance.choice(EXCLUDED).format(name) for name in own]),
            "claims": _write_trace(stay, other, [chance.choice(ASSERTED).format(name) for name in things[place]]),
        }
        rows.append(Row(stay.note, stay.code.chapter.number, stay.case.stay.subject_id, traces))
    return rows


def _differ(one: Stay, other: Stay) -> bool:
    return one.code.chapter != other.code.chapter


def _write_trace(stay: Stay, source: Stay, expectations: Sequence[str]) -> Trace:
    """Return a trace of a stay that argues from `source`, without its conclusion, which names the chapter."""
    argument = rehearse(source.note, source.code, "", source.note).text.rpartition("\n\n")[0]
    text = f"{argument}\n\n{' '.join(expectations)}"
    verdicts = [one.verdict for one in hold(text, stay)]
    refuted, confirmed = verdicts.count(Verdict.REFUTED), verdicts.count(Verdict.CONFIRMED)
    masked = mask_diagnosis(text, stay.code, [stay.title], "")
    return Trace(masked, refuted <= MOST_REFUTED * (refuted + confirmed))


def select(rows: Sequence[Row], chance: random.Random) -> tuple[list[Trace], dict[str, Numbers], Numbers]:
    """Return a trace per row, drawn with its fault; arm → which of them it has; which are faulty."""
    faults = chance.choices(["", *FAULTY], [1 - sum(FAULTY.values()), *FAULTY.values()], k=len(rows))
    traces = [row.traces[fault] for row, fault in zip(rows, faults, strict=True)]
    faulty = np.array([bool(fault) for fault in faults])
    verified = np.array([trace.is_verified for trace in traces])
    matched = np.zeros(len(rows), np.bool_)
    matched[chance.sample(range(len(rows)), int(verified.sum()))] = True
    judged = {
        name: np.array([chance.random() < passes[bool(fault)] for fault in faults]) for name, passes in JUDGES.items()
    }
    arms = {ALL: np.ones(len(rows), np.bool_), **judged, VERIFIED: verified, MATCHED: matched, RIGHT: ~faulty}
    return traces, arms, faulty


def examine_student(rows: Sequence[Row], traces: Sequence[Trace], has: Numbers, folds: Indices) -> Numbers:
    """Return for each note whether a student of the other folds' traces finds its chapter: 0 or 1."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    chapters = np.array([row.chapter for row in rows])
    right = np.zeros(len(rows))
    for fold in range(FOLDS):
        taught, tested = np.flatnonzero(has & (folds != fold)), np.flatnonzero(folds == fold)
        student = make_pipeline(TfidfVectorizer(sublinear_tf=True, min_df=2), LinearSVC(random_state=1))
        student.fit([traces[n].text for n in taught], chapters[taught])
        right[tested] = student.predict([rows[n].note for n in tested]) == chapters[tested]
    return right


def measure(rows: Sequence[Row]) -> dict[str, Any]:
    """Return figures by arm, and the differences of pairs of arms."""
    patients = np.unique([row.patient for row in rows], return_inverse=True)[1]
    right: dict[str, list[Numbers]] = {}
    sizes: dict[str, list[tuple[float, float]]] = {}
    for seed in range(SEEDS):
        chance = random.Random(f"ablation:{seed}")
        folds = np.array(chance.choices(range(FOLDS), k=int(patients.max()) + 1))[patients]
        traces, arms, faulty = select(rows, chance)
        for name, has in arms.items():
            sizes.setdefault(name, []).append((has.sum(), faulty[has].mean()))
            right.setdefault(name, []).append(examine_student(rows, traces, has, folds))
    by_seed = {name: np.array(values) for name, values in right.items()}
    means = {name: np.mean(values, axis=0) for name, values in sizes.items()}
    return {
        "arms": {
            name: {
                "traces": round(means[name][0]),
                "faulty": round(means[name][1], 3),
                "accuracy": round(values.mean(), 4),
                "seeds": [round(values.mean(axis=1).min(), 4), round(values.mean(axis=1).max(), 4)],
            }
            for name, values in by_seed.items()
        },
        "differences": [_compare(ours, theirs, by_seed, patients) for ours, theirs in PAIRS],
    }


def _compare(ours: str, theirs: str, by_seed: dict[str, Numbers], patients: Indices) -> dict[str, Any]:
    differences = by_seed[ours] - by_seed[theirs]
    by_note, of_seeds = differences.mean(axis=0), differences.mean(axis=1)
    mean = float(by_note.mean())
    spread = measure_spread(np.bincount(patients, by_note - mean) / len(by_note))
    over_patients = student.interval(CONFIDENCE, patients.max(), mean, spread.error)
    over_seeds = student.interval(CONFIDENCE, SEEDS - 1, mean, of_seeds.std(ddof=1) / SEEDS**0.5)
    return {
        "ours": ours,
        "theirs": theirs,
        "difference": round(mean, 4),
        "over_patients": [round(float(end), 4) for end in over_patients],
        "over_seeds": [round(float(end), 4) for end in over_seeds],
    }


def format_table() -> str:
    """Return the recorded figures as Markdown."""
    result = json.loads(RESULT.read_text(encoding="utf-8"))
    lines = [
        "| taught with | traces | faulty ones | accuracy, chapter | lowest and highest seed |",
        "|---|---:|---:|---:|---|",
    ]
    for name, arm in result["arms"].items():
        low, high = (f"{100 * end:.1f}" for end in arm["seeds"])
        shares = f"{100 * arm['faulty']:.0f} % | {100 * arm['accuracy']:.1f} %"
        lines.append(f"| {name} | {arm['traces']:,} | {shares} | {low}–{high} % |")
    lines += ["", "| difference, in points | | 95 % interval over patients | over seeds |", "|---|---:|---|---|"]
    for pair in result["differences"]:
        intervals = " | ".join(_format_interval(pair[name]) for name in ("over_patients", "over_seeds"))
        lines.append(f"| {pair['ours']} − {pair['theirs']} | {100 * pair['difference']:+.1f} | {intervals} |")
    notes = f"{result['notes']:,} notes of {result['patients']:,} patients, {result['seeds']} seeds"
    passed = {name: f"{100 * share:.0f} %" for name, share in result["verified"].items()}
    return "\n".join(
        [
            *lines,
            "",
            f"{notes}; the commonest chapter has {100 * result['commonest']:.1f} %.",
            f"The rules pass {passed['right']} of the right traces, "
            f"{passed['denies']} of those that deny and {passed['claims']} of those that claim.",
            "",
        ]
    )


def _format_interval(interval: Sequence[float] | None) -> str:
    return " to ".join(f"{100 * end:+.1f}" for end in interval) if interval else "none"


def main() -> None:
    with TemporaryDirectory() as folder:
        copy, cohort = Path(folder) / "mimic", Path(folder) / "cohort"
        synthesize(copy, ADMISSIONS, SEED)
        build(copy, copy, cohort, Criteria())
        rows = write_rows(list(read_stays(copy, cohort)))
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "assumed": {"faulty": FAULTY, "judges_pass": JUDGES},
        "notes": len(rows),
        "patients": len({row.patient for row in rows}),
        "seeds": SEEDS,
        "commonest": round(np.bincount([row.chapter for row in rows]).max() / len(rows), 4),
        "verified": {
            fault or "right": round(np.mean([row.traces[fault].is_verified for row in rows]), 4)
            for fault in ("", *FAULTY)
        },
        **measure(rows),
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    write_into_doc(DOC, START, format_table(), END)
    print(format_table())


if __name__ == "__main__":
    main()
