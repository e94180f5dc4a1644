"""A folder of cohort and traces written by hand, for the reading room: a few rows to read, and one that is hostile."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from cohorts import list_made_up_inputs
from conftest import REPOSITORY

from deepicd import records, storage
from deepicd.icd10cm import Code
from deepicd.schema import COHORT, EVIDENCE, PREDICTIONS, SCORES, SPLITS, TRACES, VERIFIED
from deepicd.stage_records import (
    BuildCounts,
    DistillCounts,
    DistillRecord,
    EvaluateCounts,
    EvaluateRecord,
    Funnel,
    FunnelStep,
    JudgeCounts,
    JudgeRecord,
    SplitCounts,
    VerifyCounts,
    VerifyRecord,
)
from deepicd.storage import Origin
from deepicd.trace_measures import measure_grounding

EXAMPLE = REPOSITORY / "tests" / "cards" / "reading_room" / "example.yaml"
HOSTILE = 4  # number of the row whose texts are markup


@cache
def read_examples() -> list[dict[str, str]]:
    """Code, note and trace of each row."""
    rows: list[dict[str, str]] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    return rows


def write_example(folder: Path, origin: Origin = "synthetic", copies: int = 1, teacher: str = "by hand") -> Path:
    """Write OUT/cohort and OUT/traces/<digest>: `copies` times the examples, and a first attempt that was rejected."""
    examples = [example for _ in range(copies) for example in read_examples()]
    cohort = _write_cohort(folder / "cohort", examples, origin)
    digest = storage.digest_text(teacher)[:12]
    write_traces(folder / "traces" / digest, cohort, examples, origin, teacher)
    return folder


def _write_cohort(folder: Path, examples: list[dict[str, str]], origin: Origin) -> Path:
    if folder.is_dir():
        return folder
    plan = records.plan_run("build", options={"seed": 1}, inputs=list_made_up_inputs(origin))
    with records.open_fresh_folder(folder, plan, origin) as run:
        for split in SPLITS:
            rows = [_build_row(number, example) for number, example in enumerate(examples)] if split == "train" else []
            storage.write_parquet(run.folder / f"{split}.parquet", rows, COHORT, origin)
        steps = [
            FunnelStep(step="discharge notes", rows=len(examples) + 2, lost={}),
            FunnelStep(step="of an ICD-10 stay", rows=len(examples), lost={"not ICD-10": 2}),
        ]
        run.counts = BuildCounts(
            rows={"train": len(examples)},
            codes=4,
            chapters={},
            split=SplitCounts(codes={}, patients=len(examples), patients_on_several_sides=0, moved={}),
            funnel=Funnel(steps=steps, rows=len(examples), codes=4),
        )
    return folder


def _build_row(number: int, example: dict[str, str]) -> dict[str, Any]:
    code = Code(example["code"])
    return {
        "note_id": _name_note(number),
        "subject_id": 10_000_000 + number,
        "hadm_id": 20_000_000 + number,
        "admission_note": example["note"],
        "icd_code": code.value,
        "icd_title": code.title,
        "category": code.category,
        "chapter": code.chapter.number,
        "seq_num": 1,
        "flags": ["patient has several stays"] if number % 3 == 1 else [],
    }


def _name_note(number: int) -> str:
    return f"{10_000_000 + number}-DS-1"


def write_traces(folder: Path, cohort: Path, examples: list[dict[str, str]], origin: Origin, teacher: str) -> Path:
    """Write traces as `deepicd distill` leaves them: each example's is kept, the first row has a rejected one too."""
    plan = records.plan_run(
        DistillRecord,
        options={"name": teacher, "model": teacher, "by_model": True, "teacher": teacher},
        inputs={"cohort": cohort},
    )
    with records.open_fresh_folder(folder, plan, origin) as run:
        kept = [_build_attempt(number, example, 2 if number == 0 else 1) for number, example in enumerate(examples)]
        rejected = [
            _build_attempt(0, examples[0], 1)
            | {"rejected_for": ["form"], "trace": None, "completion": "<think>\nHe is ill", "words": 3, "evidence": []}
        ]
        for verdict, rows in (("kept", kept), ("rejected", rejected)):
            storage.write_parquet(run.folder / verdict / "train-00000.parquet", rows, TRACES, origin)
        run.counts = DistillCounts(
            kept={"train": len(kept)}, rejected={}, reasons={}, attempts=len(kept) + 1, engines={"hand": len(kept)},
            grounded={}, recipe_digest=folder.name,
        )  # fmt: skip
    return folder


def _build_attempt(number: int, example: dict[str, str], attempt: int) -> dict[str, Any]:
    trace = example["trace"]
    grounding = measure_grounding(trace, example["note"])
    claims = [{name: getattr(claim, name) for name in EVIDENCE.names} for claim in grounding.evidence]
    return dict.fromkeys(TRACES.names) | {
        "note_id": _name_note(number),
        "split": "train",
        "icd_code": example["code"],
        "trace": trace,
        "completion": f"<think>\n{trace}\n</think>\n<diagnosis>{example['code']}</diagnosis>",
        "words": len(trace.split()),
        "finish_reason": "stop",
        "rejected_for": [],
        "attempt": attempt,
        "attempts": 2 if number == 0 else 1,
        "row_kept": True,
        "recipe": "by hand",
        "verbatim": grounding.verbatim,
        "evidence": claims,
    }


def write_scores(folder: Path, traces: Path, scores: dict[str, int]) -> Path:
    """Write scores as `deepicd judge` leaves them: code → score."""
    plan = records.plan_run(JudgeRecord, options={"model": "judge by hand"}, inputs={"traces": traces})
    rows = [
        dict.fromkeys(SCORES.names)
        | {
            "note_id": _name_note(number), "split": "train", "icd_code": example["code"],
            "score": scores[example["code"]], "trace_sha256": storage.digest_text(example["trace"]), "why": "made up",
            "judge": "judge by hand", "rubric": "1",
        }
        for number, example in enumerate(read_examples())
        if example["code"] in scores
    ]  # fmt: skip
    with records.open_fresh_folder(folder, plan, "synthetic") as run:
        storage.write_parquet(run.folder / "scores" / "train-00000.parquet", rows, SCORES, "synthetic")
        run.counts = JudgeCounts(scored=len(rows), scores={}, mean=3.0, unscored={}, recipe_digest=folder.name)
    return folder


def write_evaluation(folder: Path, cohort: Path, answers: dict[str, str | None]) -> Path:
    """Write predictions as `deepicd evaluate` leaves them: true code → the answer's code."""
    plan = records.plan_run(EvaluateRecord, options={"name": folder.name}, inputs={"cohort": cohort})
    rows = [
        {
            "note_id": _name_note(number),
            "icd_code": example["code"],
            "predicted": answers[example["code"]],
            "problem": None if answers[example["code"]] else "missing tag",
            "overlap": 0,
            "completion": f"<b>Answer to {example['code']}</b>",
        }
        for number, example in enumerate(read_examples())
    ]
    with records.open_fresh_folder(folder, plan, "synthetic") as run:
        storage.write_parquet(run.folder / "predictions.parquet", rows, PREDICTIONS, "synthetic")
        run.counts = EvaluateCounts(rows=len(rows), answered=len(rows))
    return folder


def write_verification(folder: Path, traces: Path) -> Path:
    """Write what `deepicd verify` leaves of one trace: an expectation that the stay refutes."""
    plan = records.plan_run(VerifyRecord, options={}, inputs={"traces": traces})
    trace = read_examples()[1]["trace"]
    start = trace.index("productive cough")
    forecast = {
        "start": start, "end": start + len("productive cough"), "category": "symptom", "stance": "asserted",
        "verdict": "refuted", "section": "hospital course",
    }  # fmt: skip
    row = dict.fromkeys(VERIFIED.names) | {
        "note_id": _name_note(1), "split": "train", "trace_sha256": storage.digest_text(trace), "forecasts": [forecast],
        "refuted": 1, "failed_for": ["refuted"],
    }  # fmt: skip
    with records.open_fresh_folder(folder, plan, "synthetic") as run:
        storage.write_parquet(run.folder / "verified" / "train-00000.parquet", [row], VERIFIED, "synthetic")
        run.counts = VerifyCounts(
            traces={"train": 1}, verified={}, reasons={"refuted": 1}, forecasts={}, levels={}, lift_by_chapter={},
            met=None, covered=0, nameable=0, tokens={}, unread={}, unanswered={}, recipe_digest=folder.name,
        )  # fmt: skip
    return folder
