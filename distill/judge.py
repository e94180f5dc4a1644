"""`deepicd judge`: a score from 1 to 5 for each kept trace, by a model of another family than the teacher.

    OUT/ledger/…                     every answer of every judge (deepicd.engines.ledger)
    OUT/<recipe digest>/scores/…     one row per trace; derived from the ledger
    OUT/<recipe digest>/run.json
    OUT/agreement.json               where at least two judges have scored: how far they agree

A judge has a recipe, as the teacher has: `model` names it, `prompt` the rubric. It answers in JSON that a schema
prescribes; if the score is missing, the request is repeated with another seed.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path

from deepicd import disclosure, records, storage
from deepicd.engines import metrics, registry
from deepicd.engines.ledger import Entry, Ledger, digest_prompt, open_ledger
from deepicd.engines.runner import Question, complete_tasks, explain_no_answers
from deepicd.engines.tokens import TokenCounter, find_counter
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge import rubric
from deepicd.knowledge.rubric import TOO_LONG, JudgedTrace, Score
from deepicd.prompts.template import PromptTemplate, choose_template
from deepicd.schema import SCORES
from deepicd.stage_records import DistillRecord, JudgeCounts, JudgeRecord
from distill.checks import require_kept
from distill.judge_reliability import check_independence, compare_judges
from distill.recipe import Recipe, refuse_rehearsal
from distill.sources import Row, Sources, open_sources
from distill.writer import open_row_file

logger = logging.getLogger(__name__)

NO_SCORE = "no score in the answer"


@dataclass(frozen=True, slots=True)
class Case:
    """A trace to score."""

    note_id: str
    split: str
    code: Code
    trace: str
    question: Question[Score] | None
    """None where it would not fit the judge's context."""
    prompt_sha256: str
    is_shortened: bool = False
    """Whether guidelines were left out to fit."""


@dataclass(frozen=True)
class CaseReader:
    """Reads cases from kept traces and the sources that they were made from."""

    recipe: Recipe
    traces: Path
    sources: Sources
    limit: int | None

    @cached_property
    def tokens(self) -> TokenCounter:
        return find_counter(self.recipe)

    @cached_property
    def template(self) -> PromptTemplate:
        return choose_template(rubric.PROMPT, self.recipe.prompt, self.recipe.messages)

    def read_cases(self) -> Iterator[Case]:
        """Yield cases in the cohort's order. Raises DeepicdError where a trace has no note in the cohort."""
        read_excerpt = lru_cache(maxsize=None)(
            lambda code: self.sources.knowledge.build_excerpt(code, max_tokens=self.recipe.guideline_tokens)
        )
        for split, row, traces in self.sources.read_traces(self.traces, self.limit):
            for trace in traces:
                yield self._build_case(split, row, trace, read_excerpt(Code(trace["icd_code"])))

    def _build_case(self, split: str, row: Row, trace: Row, guidelines: str | None) -> Case:
        code = Code(trace["icd_code"])  # a kept trace predicts the code of its row
        judged = JudgedTrace(row["admission_note"], trace["trace"], code, code.title or row["icd_title"])
        messages, is_shortened = rubric.fit_messages(
            judged, self.sources.knowledge, self.recipe, self.tokens, guidelines, template=self.template
        )
        question = messages and Question(
            self.recipe,
            self.recipe.attempts,
            row["note_id"],
            messages,
            rubric.parse_score,
            rubric.SCHEMA,
            rollout=trace["rollout"] - 1,
            unreadable=NO_SCORE,
        )
        prompt_sha256 = digest_prompt(messages or [], "")
        return Case(row["note_id"], split, code, trace["trace"], question or None, prompt_sha256, is_shortened)


@dataclass(frozen=True, slots=True)
class JudgeJob:
    """Traces to score, by which judge, and where to."""

    traces: Path
    out: Path
    recipe: Recipe
    _: KW_ONLY
    cohort: Path | None = None
    """Cohort, guidelines and descriptions are those that the traces were made with, unless others are named."""
    guidelines: Path | None = None
    descriptions: Path | None = None
    limit: int | None = None
    """Only the first kept traces of each split."""
    same_family: bool = False
    """Allow a judge of the teacher's family."""
    overwrite: bool = False
    """Replace what OUT holds for this judge and other traces."""
    responsible: str | None = None
    """The sentence for credentialed notes and a server elsewhere (deepicd.disclosure)."""
    rehearse: bool = False
    """Allow scores of credentialed traces that are drawn by chance."""

    def open_sources(self, record: DistillRecord) -> Sources:
        """Open what the judge is shown; `record` is that of the traces. Raises DeepicdError."""
        inputs = record.inputs
        return open_sources(
            self.cohort or find_input(record, "cohort"),
            self.guidelines or (find_input(record, "guidelines") if "guidelines" in inputs else None),
            self.descriptions or (find_input(record, "descriptions") if "descriptions" in inputs else None),
        )


def judge(job: JudgeJob) -> JudgeRecord:
    """Score the kept traces of a job under OUT/<digest>, and return the record. Raises DeepicdError."""
    recipe, out = job.recipe, job.out
    choose_template(rubric.PROMPT, recipe.prompt, recipe.messages)
    if recipe.rollouts > 1:
        raise DeepicdError(
            f"The judge's recipe asks for {recipe.rollouts} rollouts.", "It scores each trace once: leave out rollouts."
        )
    registry.check_engine(recipe)
    traces, record_of_traces = records.find_run_folder(job.traces, DistillRecord, "kept")
    require_kept(traces, record_of_traces.counts)
    doubt = check_independence(record_of_traces.teacher, recipe, allow_same=job.same_family)
    sources = job.open_sources(record_of_traces)
    refuse_rehearsal(recipe, origin=sources.origin, is_allowed=job.rehearse)
    sentence = disclosure.check_server(recipe, origin=sources.origin, sentence=job.responsible)
    plan = records.plan_run(
        JudgeRecord, options=recipe.options | {"limit": job.limit}, inputs=sources.paths | {"traces": traces}
    )
    folder = out / recipe.digest
    if (finished := records.find_finished(folder, plan)) and not finished.counts.unscored:
        return finished
    reader = CaseReader(recipe, traces, sources, job.limit)
    with (
        open_ledger(out, sources.origin) as ledger,
        records.open_fresh_folder(folder, plan, sources.origin, overwrite=job.overwrite) as run,
    ):
        unanswered = _complete(reader, ledger, out)
        scores, unscored, shortened = _write_scores(run.folder, reader, ledger, unanswered)
        total = scores.total()
        if unscored and not total:
            raise explain_no_answers(unscored)
        run.counts = JudgeCounts(
            scored=total,
            scores={str(score): scores[score] for score in sorted(scores)},
            mean=round(sum(score * rows for score, rows in scores.items()) / total, 2) if total else None,
            unscored=dict(unscored),
            shortened=shortened,
            recipe_digest=recipe.digest,
            series=metrics.read_series(out, recipe.digest),
        )
        run.notes += [doubt] if doubt else []
        run.notes += [f"Said by who ran it: {sentence}"] if sentence else []
    _write_agreement(out)
    return run.record


def find_input(record: DistillRecord, role: str) -> Path:
    """Return an input of the traces' own run. Raises DeepicdError where it has changed since."""
    source = record.inputs[role]
    path = Path(source.path or "")
    if not source.path or not path.exists() or storage.digest_path(path) != source.digest:
        raise DeepicdError(
            f"{path}, which the traces were made from, has changed or is gone.", f"Name it: --{role} PATH"
        )
    return path


def _complete(reader: CaseReader, ledger: Ledger, out: Path) -> dict[str, str]:
    """Have the engine score what the ledger lacks. Return the requests that it could not answer, with reasons."""
    if not (waiting := sum(1 for _ in _list_questions(reader, ledger))):
        return {}
    recipe = reader.recipe
    tracking = metrics.track_metrics("scores", waiting, out, recipe.digest)
    return complete_tasks(recipe, ledger, _list_questions(reader, ledger), recipe.attempts, tracking)


def _list_questions(reader: CaseReader, ledger: Ledger) -> Iterator[Question[Score]]:
    """Yield what the ledger has no score for, at the attempt to make next."""
    for case in reader.read_cases():
        if case.question and (task := case.question.find_task(ledger)):
            yield task


def _write_scores(
    folder: Path, reader: CaseReader, ledger: Ledger, unanswered: dict[str, str]
) -> tuple[Counter[int], Counter[str], int]:
    """Write the scores of each split. Return score → traces, reason → traces without a score, and shortened prompts."""
    scores: Counter[int] = Counter()
    unscored: Counter[str] = Counter()
    shortened = 0
    for split, cases in groupby(reader.read_cases(), key=lambda case: case.split):
        with open_row_file(folder / "scores" / f"{split}-00000.parquet", SCORES, reader.sources.origin) as add:
            for case in cases:
                shortened += case.is_shortened
                add(row := _build_row(case, reader.recipe, ledger, unanswered))
                if row["score"] is None:
                    unscored[row["unscored_for"]] += 1
                else:
                    scores[row["score"]] += 1
    return scores, unscored, shortened


def _build_row(case: Case, recipe: Recipe, ledger: Ledger, unanswered: dict[str, str]) -> Row:
    score, answers, reason = None, list[Entry](), TOO_LONG
    if case.question:
        score, answers = case.question.read(ledger)
        key = case.question.find_key(ledger, len(answers))
        reason = unanswered.get(key, NO_SCORE if answers else "not asked")
    last: Entry = answers[-1] if answers else {}
    return {
        "note_id": case.note_id,
        "split": case.split,
        "icd_code": case.code.value,
        "trace_sha256": storage.digest_text(case.trace),
        "score": score.value if score else None,
        "why": score.why if score else None,
        "unscored_for": None if score else reason,
        "judge": recipe.model,
        "revision": recipe.revision,
        "rubric": recipe.prompt,
        "prompt_sha256": case.prompt_sha256,
        "attempts": len(answers),
        **{name: last.get(name) for name in ("engine", "engine_version", "seed")},
        **{name: last.get(name) for name in ("prompt_tokens", "completion_tokens", "cached_tokens")},
    }


def _write_agreement(out: Path) -> None:
    """Write how far the judges of a folder agree, where there are at least two."""
    runs = {path.parent: records.read(path.parent) for path in sorted(out.glob("*/run.json"))}
    judged = {
        folder: record.parse_as(JudgeRecord)
        for folder, record in runs.items()
        if record and record.command in JudgeRecord.COMMANDS
    }
    folders = {f"{record.judge} ({record.counts.recipe_digest})": folder for folder, record in judged.items()}
    pairs = [{"judges": [first, second], **agreement} for first, second, agreement in compare_judges(folders)]
    if not pairs:
        return
    storage.write_json(out / "agreement.json", pairs)
    for pair in pairs:
        if not pair["traces"]:
            logger.info("%s have scored no trace in common.", " and ".join(pair["judges"]))
            continue
        logger.info(
            "%s: weighted kappa %s, equal scores for %s, at most one apart for %s of %s traces.",
            " and ".join(pair["judges"]),
            pair["kappa"],
            f"{pair['same']:.0%}",
            f"{pair['at_most_one_apart']:.0%}",
            f"{pair['traces']:,}",
        )
