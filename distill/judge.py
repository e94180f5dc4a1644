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
from itertools import groupby
from pathlib import Path
from typing import TypedDict, Unpack

from deepicd import disclosure, records, storage
from deepicd.engines import metrics, registry
from deepicd.engines.ledger import Entry, Ledger, open_ledger
from deepicd.engines.runner import Question, complete_tasks, explain_no_answers
from deepicd.errors import DeepicdError
from deepicd.knowledge import rubric
from deepicd.knowledge.rubric import TOO_LONG, Score
from deepicd.prompts.template import choose_template
from deepicd.schema import SCORES
from deepicd.stage_records import DistillRecord, JudgeCounts, JudgeRecord
from distill.checks import require_kept
from distill.judge_cases import NO_SCORE, Case, CaseReader
from distill.judge_reliability import check_independence, compare_judges
from distill.recipe import Recipe, refuse_rehearsal
from distill.sources import Row, Sources, open_sources
from distill.writer import open_row_file

logger = logging.getLogger(__name__)


class JudgeOptions(TypedDict, total=False):
    """The optional fields of a judging job."""

    cohort: Path | None
    guidelines: Path | None
    descriptions: Path | None
    limit: int | None
    same_family: bool
    overwrite: bool
    responsible: str | None
    rehearse: bool


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


def judge(traces: Path, out: Path, recipe: Recipe, **options: Unpack[JudgeOptions]) -> JudgeRecord:
    """Score the kept traces of a recipe under OUT/<digest>, and return the record."""
    return run_judge(JudgeJob(traces, out, recipe, **options))


def run_judge(job: JudgeJob) -> JudgeRecord:
    """Score the traces of a job, and return the record."""
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
