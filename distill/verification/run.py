"""`deepicd verify`: hold kept traces against what became of their stays.

    OUT/ledger/…                           every answer of the model (deepicd.engines.ledger)
    OUT/<recipe digest>/verified/…         one row per kept trace: what each check found, and why it fails
    OUT/<recipe digest>/run.json

Rules come first and cost no model. Points of a stay know no trace, so they are asked once per row and serve every
teacher whose traces are verified under the same OUT.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from deepicd import disclosure, records
from deepicd.engines import metrics, registry
from deepicd.engines.ledger import Ledger, open_ledger
from deepicd.engines.runner import Question, Runner
from deepicd.icd10cm import Code
from deepicd.schema import VERIFIED
from deepicd.stage_records import DistillRecord, VerifyCounts, VerifyRecord
from distill.checks import require_kept
from distill.judge import find_input
from distill.recipe import refuse_rehearsal
from distill.sources import Sources, open_sources
from distill.verification.cases import CaseReader
from distill.verification.recipe import VerifyRecipe
from distill.verification.rows import Questions, build_row, list_unread
from distill.writer import open_row_file

FOLDER = "verified"


@dataclass(frozen=True, slots=True)
class VerifyJob:
    """Traces to verify, by which recipe, and where to."""

    traces: Path
    out: Path
    recipe: VerifyRecipe
    _: KW_ONLY
    cohort: Path | None = None
    """The cohort that the traces were made from, unless another place is named."""
    limit: int | None = None
    """Only the first kept traces of each split."""
    overwrite: bool = False
    responsible: str | None = None
    """The sentence for credentialed notes and a server elsewhere (deepicd.disclosure)."""
    rehearse: bool = False
    """Allow answers about credentialed traces that no model gave."""

    def open_sources(self, record: DistillRecord) -> Sources:
        return open_sources(self.cohort or find_input(record, "cohort"), None, None)


def verify(job: VerifyJob) -> VerifyRecord:
    """Verify the traces of a job, and return the record. Raises DeepicdError."""
    recipe = job.recipe
    traces, record_of_traces = records.find_run_folder(job.traces, DistillRecord, "kept")
    require_kept(traces, record_of_traces.counts)
    sources = job.open_sources(record_of_traces)
    sentence = None
    if recipe.asks_model:
        registry.check_engine(recipe)
        refuse_rehearsal(recipe, origin=sources.origin, is_allowed=job.rehearse)
        sentence = disclosure.check_server(recipe, origin=sources.origin, sentence=job.responsible)
    plan = records.plan_run(
        VerifyRecord,
        options=recipe.options | {"limit": job.limit, "engine_has_model": recipe.uses_model},
        inputs={"cohort": sources.cohort, "traces": traces},
    )
    folder = job.out / recipe.digest
    if (finished := records.find_finished(folder, plan)) and not finished.counts.unanswered:
        return finished
    reader = CaseReader(recipe, traces, sources, job.limit)
    with (
        open_ledger(job.out, sources.origin) as ledger,
        records.open_fresh_folder(folder, plan, sources.origin, overwrite=job.overwrite) as run,
    ):
        unanswered = _complete(reader, ledger, job.out) if recipe.asks_model else {}
        tally = _write_rows(run.folder, reader, ledger)
        run.counts = tally.summarize(Counter(unanswered.values()))
        run.notes += [f"Said by who ran it: {sentence}"] if sentence else []
    return run.record


def _complete(reader: CaseReader, ledger: Ledger, out: Path) -> dict[str, str]:
    """Have the engine answer what the ledger lacks, in two phases. Return request → why it was not answered."""
    first, second = list(_list_questions(reader, ledger)), _list_grades(reader, ledger)
    traces = sum(1 for _ in reader.read_cases()) if "rubric" in reader.recipe.checks else 0
    if not first and next(_list_grades(reader, ledger), None) is None:
        return {}
    tracking = metrics.track_metrics("answers", len(first) + traces, out, reader.recipe.digest)
    with closing(registry.open_engine(reader.recipe)) as engine, tracking as shown:
        runner = Runner(engine, ledger, reader.recipe.attempts, shown)
        runner.run(first)
        runner.run(second)  # grades need the points that the first phase has written
    return runner.unanswered


def _list_questions(reader: CaseReader, ledger: Ledger) -> Iterator[Question[Any]]:
    """Yield what is to be asked of traces, notes and outcomes; of several traces of a row, what they share once."""
    for _, cases in groupby(reader.read_cases(), key=lambda case: (case.split, case.note_id)):
        asked: set[str] = set()
        for case in cases:
            questions = Questions.build(case, reader)
            for question in (questions.from_trace, *questions.from_note, questions.points, questions.claims):
                task = question.find_task(ledger) if question else None
                if task and (key := task.build_request(task.first_attempt).key) not in asked:
                    asked.add(key)
                    yield task


def _list_grades(reader: CaseReader, ledger: Ledger) -> Iterator[Question[list[bool]]]:
    for case in reader.read_cases():
        question = Questions.build(case, reader).ask_for_grades(case, ledger)
        if question and (task := question.find_task(ledger)):
            yield task


def _write_rows(folder: Path, reader: CaseReader, ledger: Ledger) -> "Tally":
    tally = Tally(reader.recipe)
    for split, cases in groupby(reader.read_cases(), key=lambda case: case.split):
        with open_row_file(folder / FOLDER / f"{split}-00000.parquet", VERIFIED, reader.sources.origin) as add:
            for case in cases:
                row = build_row(case, reader, ledger)
                add({name: row[name] for name in VERIFIED.names})
                tally.add(row)
    return tally


@dataclass
class Tally:
    """Counts of a folder of verified traces, for its record."""

    recipe: VerifyRecipe
    traces: Counter[str] = field(default_factory=Counter)  # by split
    verified: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    forecasts: dict[str, Counter[str]] = field(default_factory=dict)  # category → verdict → number
    levels: dict[str, Counter[str]] = field(default_factory=dict)  # 'from trace', 'from note' → level → number
    lifts: dict[str, list[float]] = field(default_factory=dict)  # chapter → lifts
    met: list[float] = field(default_factory=list)
    weighed: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)
    by_model: Counter[str] = field(default_factory=Counter)  # verdict → expectations that the model decided

    def add(self, row: dict[str, Any]) -> None:
        self.traces[row["split"]] += 1
        self.verified[row["split"]] += not row["failed_for"]
        self.reasons.update(row["failed_for"])
        for one in row["forecasts"] or ():
            self.forecasts.setdefault(one["category"], Counter())[one["verdict"]] += 1
            self.by_model[one["verdict"]] += one["by_model"]
        for what, level in (("from trace", row["trace_level"]), ("from note", row["note_level"])):
            if level is not None:
                self.levels.setdefault(what, Counter())[str(round(level))] += 1
        if row["lift"] is not None:
            self.lifts.setdefault(str(Code(row["icd_code"]).chapter.number), []).append(row["lift"])
        self.met += [] if row["met"] is None else [row["met"]]
        self.weighed.update({name: row[name] or 0 for name in ("covered", "nameable")})
        self.tokens.update({name: row[name] or 0 for name in ("prompt_tokens", "completion_tokens")})
        self.unread.update(list_unread(row, self.recipe))

    def summarize(self, unanswered: Counter[str]) -> VerifyCounts:
        return VerifyCounts(
            traces=dict(self.traces),
            verified=dict(self.verified),
            reasons=dict(self.reasons.most_common()),
            forecasts={category: dict(counts) for category, counts in sorted(self.forecasts.items())},
            levels={what: dict(sorted(counts.items())) for what, counts in self.levels.items()},
            lift_by_chapter={
                chapter: round(sum(lifts) / len(lifts), 3)
                for chapter, lifts in sorted(self.lifts.items(), key=lambda item: int(item[0]))
            },
            met=round(sum(self.met) / len(self.met), 3) if self.met else None,
            covered=self.weighed["covered"],
            nameable=self.weighed["nameable"],
            tokens=dict(self.tokens),
            unread=dict(self.unread),
            by_model={verdict: number for verdict, number in self.by_model.items() if number},
            unanswered=dict(unanswered),
            recipe_digest=self.recipe.digest,
        )
