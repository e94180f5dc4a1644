"""The distillation run: a trace for each row of a cohort, checked, kept or rejected, and never generated twice.

    OUT/ledger/…                       every completion, as it comes (deepicd.engines.ledger)
    OUT/<recipe digest>/kept/…         rows that passed every check; derived from the ledger (distill.writer)
    OUT/<recipe digest>/rejected/…     every attempt that did not, text and reasons included
    OUT/<recipe digest>/run.json
    OUT/progress/<recipe digest>.…     throughput over time, as numbers and as a figure

The folder of a recipe appears, whole, when every row is settled. A run that is killed before leaves its ledger, and
the same command then requests only what is missing. Another recipe, engine or cohort reuses every completion whose
request is unchanged.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TypedDict, Unpack

from deepicd import disclosure, records
from deepicd.engines import metrics, registry, tokens
from deepicd.engines.base import Request
from deepicd.engines.ledger import FOLDER as LEDGER_FOLDER
from deepicd.engines.ledger import Entry, open_ledger
from deepicd.engines.recipe import RUNNING
from deepicd.engines.runner import complete_tasks, describe_template_dates, explain_no_answers
from deepicd.engines.shard import WHOLE, Shard
from deepicd.errors import DeepicdError
from deepicd.log import track_progress
from deepicd.prompts.template import choose_template
from deepicd.stage_records import DistillCounts, DistillRecord, PromptText
from distill import prompt, throughput_figure, writer
from distill.attempts import History, Place, Plan, describe_plan, plan_rows
from distill.budget import count_codes, plan_budget
from distill.checks import explain_nothing_kept
from distill.hints import Rejections, digest_hints, keep_round, phrase, read_rejections
from distill.prompt_builder import Prompt, PromptBuilder
from distill.recipe import Recipe, refuse_rehearsal
from distill.sources import Sources, add_examples, open_sources

logger = logging.getLogger(__name__)

SERIES_OF_PARTS = (
    "Shards or workers have completed rows, and each has a time series of its own, in OUT/progress: `series` is without"
    " them."
)


class JobOptions(TypedDict, total=False):
    """The optional fields of a job."""

    guidelines: Path | None
    descriptions: Path | None
    limit: int | None
    overwrite: bool
    responsible: str | None
    rehearse: bool
    finish: bool
    hints: Path | None
    examples: Path | None
    shard: Shard | None
    merge: bool


@dataclass(frozen=True, slots=True)
class Job:
    """A distillation to run: inputs, recipe, and the folder that it writes to."""

    cohort: Path
    out: Path
    recipe: Recipe
    _: KW_ONLY
    guidelines: Path | None = None
    """Folder of `deepicd guidelines`."""
    descriptions: Path | None = None
    """descriptions.parquet of `deepicd scrape`."""
    limit: int | None = None
    """Only the first rows of each split."""
    overwrite: bool = False
    """Replace what OUT holds for this recipe and other inputs."""
    responsible: str | None = None
    """The sentence for credentialed notes and a server elsewhere (deepicd.disclosure)."""
    rehearse: bool = False
    """Allow an engine without a language model to write traces of credentialed notes."""
    hints: Path | None = None
    """Output of `deepicd verify`: rollouts that it rejected are written anew."""
    examples: Path | None = None
    """Output of a run on this cohort, for the examples that the recipe shows."""
    finish: bool = False
    """Request nothing more: write what the ledger has, and the other rows as unanswered."""
    shard: Shard | None = None
    """Complete only these rows, beside the processes that complete the others (distill.sharding)."""
    merge: bool = False
    """Request nothing: write what the shards have completed. An error where one of them is not done."""

    def open_sources(self) -> Sources:
        """Open the inputs, as far as prompts need them. Raises DeepicdError; no engine is needed for that."""
        choose_template(prompt.PROMPT, self.recipe.prompt, self.recipe.messages)
        sources = open_sources(self.cohort, self.guidelines, self.descriptions)
        return add_examples(sources, self.examples, self.recipe)

    def read_rejections(self, sources: Sources) -> Rejections:
        """Return why earlier traces were rejected, as a verification says; empty without one. Raises DeepicdError."""
        return read_rejections(self.hints, self.recipe, self.out, sources) if self.hints else {}

    def prepare(self) -> tuple[Sources, str | None]:
        """Check everything that can be wrong before anything is written. Raises DeepicdError.

        Returns the sources, and the sentence by which the user took responsibility where one was needed.
        """
        registry.check_engine(self.recipe)
        sources = self.open_sources()
        refuse_rehearsal(self.recipe, origin=sources.origin, is_allowed=self.rehearse)
        return sources, disclosure.check_server(self.recipe, origin=sources.origin, sentence=self.responsible)


@dataclass(frozen=True)
class _Task:
    """A rollout that waits for a completion (a deepicd.engines.runner.Task)."""

    prompt: Prompt
    first_attempt: int
    history: History

    def build_request(self, attempt: int) -> Request:
        return self.history.builder.build_request(self.prompt, attempt)

    @property
    def attempts(self) -> int:
        return self.prompt.attempts

    def check(self, attempt: int, entry: Entry) -> Sequence[str]:
        return self.history.check(self.prompt, attempt, entry).reasons


def distill(cohort: Path, out: Path, recipe: Recipe, **options: Unpack[JobOptions]) -> DistillRecord:
    """Write the traces of a cohort under OUT/<digest>, and return the record."""
    return run_job(Job(cohort, out, recipe, **options))


CompleteRows = Callable[[Job, int], None]
"""Completes the rows of a job, of so many rollouts, into the ledger."""


def run_job(job: Job, complete_elsewhere: CompleteRows | None = None) -> DistillRecord:
    """Write the traces of a job, and return the record. Raises DeepicdError, once they are written, if none is kept.

    `complete_elsewhere`: has other processes complete the rows; None for this one.
    """
    record = _write_traces(job, complete_elsewhere)
    if not sum(record.counts.kept.values()):
        raise explain_nothing_kept(job.out / job.recipe.digest, record.counts)
    return record


def _write_traces(job: Job, complete_elsewhere: CompleteRows | None) -> DistillRecord:
    recipe, out, limit = job.recipe, job.out, job.limit
    sources, sentence = job.prepare()
    options = recipe.options | {"by_model": recipe.uses_model}
    rejections = job.read_rejections(sources)
    if job.hints:
        options |= {"hints": digest_hints(phrase(rejections))}
    plan_of_run = records.plan_run(DistillRecord, options=options, inputs=sources.paths)
    folder = out / recipe.digest
    finished = records.find_finished(folder, plan_of_run)
    if finished and not finished.counts.unanswered and _covers(finished.counts.limit, limit):
        return finished
    records.refuse_other_content(folder, plan_of_run, overwrite=job.overwrite)
    if complete_elsewhere:
        complete_elsewhere(job, sources.count(limit) * recipe.rollouts)
        job = replace(job, merge=True)
    with open_plan(job, sources, rejections) as (plan, history):
        log_plan(plan, history)
        with records.open_fresh_folder(folder, plan_of_run, sources.origin, overwrite=job.overwrite) as run:
            unanswered = _complete(job, plan, history)
            tally = writer.write_traces(run.folder, sources, history, limit=limit, unanswered=unanswered)
            if tally.unanswered and not tally.attempts:
                raise explain_no_answers(tally.unanswered)
            if job.hints:
                keep_round(out, rejections, sources.origin)
            run.counts = DistillCounts(
                kept=dict(tally.kept),
                rejected=dict(tally.rejected),
                reasons=dict(tally.reasons.most_common()),
                attempts=tally.attempts,
                attempts_rejected_for=dict(tally.attempt_reasons.most_common()),
                engines=dict(tally.engines.most_common()),
                rollouts_kept={str(kept): rows for kept, rows in sorted(tally.rollouts_kept.items())},
                words=tally.words,
                grounded=tally.grounded,
                unanswered=dict(tally.unanswered.most_common()),
                tokens=dict(tally.tokens),
                rare=history.builder.budget.describe() | dict(tally.of_rare),
                shortened=plan.counts["shortened"],
                without_description=plan.counts["without description"],
                without_guidelines=plan.counts["without guidelines"],
                no_note=plan.counts["no note"],
                too_long_for_the_context=plan.counts["too long for the context"],
                recipe_digest=recipe.digest,
                limit=limit,
                asked=PromptText(
                    version=recipe.prompt, messages=history.builder.template.turns, opening=history.builder.opening
                ),
                running={name: getattr(recipe, name) for name in (*RUNNING, "engine_args") if getattr(recipe, name)},
                tokens_counted_by=history.builder.tokens.method,
                series=metrics.read_series(out, recipe.digest),
            )
            run.notes += [f"Said by who ran it: {sentence}"] if sentence else []
            run.notes += _describe_damage(history)
            run.notes += [SERIES_OF_PARTS] if metrics.has_parts(out, recipe.digest) else []
            run.notes += history.builder.tokens.describe_template(recipe)
            run.notes += describe_template_dates(tally.template_dates)
    throughput_figure.draw_throughput(out, recipe.digest)
    return run.record


@contextmanager
def open_plan(job: Job, sources: Sources, rejections: Rejections | None = None) -> Iterator[tuple[Plan, History]]:
    """Open the ledger, and plan which rows (of this shard) still need a completion.

    `rejections`: what the job's verification says, where it has been read already.
    """
    counter = tokens.find_counter(job.recipe)
    hints = None
    if job.hints:
        hints = phrase(job.read_rejections(sources) if rejections is None else rejections)
    builder = PromptBuilder(job.recipe, sources.knowledge, counter, hints, sources.examples)
    if job.recipe.rare_below:
        builder.budget = plan_budget(job.recipe, count_codes(sources))
    shard = job.shard or WHOLE
    with open_ledger(job.out, sources.origin, shard) as ledger:
        history = History(ledger, builder)
        rows = sources.read_rows(job.limit, shard)
        with (
            track_progress("rows planned", sources.count(job.limit) // shard.total) as advance,
            plan_rows(rows, history, job.out / LEDGER_FOLDER, advance) as plan,
        ):
            if plan.counts["no note"] == plan.counts["rows"] and not shard.is_part:
                raise DeepicdError(f"No row of {sources.cohort} has a note.", "Build the cohort again.")
            yield plan, history


def log_plan(plan: Plan, history: History) -> None:
    builder = history.builder
    for line in [*describe_plan(plan.counts, builder), *builder.tokens.describe_template(builder.recipe)]:
        logger.info(line)


def build_tasks(plan: Plan, places: Sequence[Place], history: History) -> Iterator[_Task]:
    """Yield the rollouts at these places as tasks, the prompt of a row built when it is needed."""
    for row, rollouts in plan.read_rows(places):
        built = history.builder.build(row)
        if isinstance(built, str):
            raise RuntimeError(f"A planned row has no prompt: {built}.")  # planning has left such rows out
        yield from (_Task(built.for_rollout(place.rollout), place.attempt, history) for place in rollouts)


def complete_rows(job: Job, plan: Plan, history: History) -> dict[str, str]:
    """Have the engine complete all waiting rows. Return the requests that it could not answer, with reasons."""
    if not plan.waiting:
        return {}
    tasks = build_tasks(plan, plan.waiting, history)
    name = job.recipe.digest + (job.shard.suffix if job.shard else "")
    tracking = metrics.track_metrics("traces", len(plan.waiting), job.out, name)
    return complete_tasks(job.recipe, history.ledger, tasks, job.recipe.attempts, tracking)


def _complete(job: Job, plan: Plan, history: History) -> dict[str, str]:
    """Return the requests without an answer, with reasons, once all others have one."""
    if not (job.finish or job.merge):
        return complete_rows(job, plan, history)
    missing = len(plan.waiting) - plan.counts["failed before"]
    if missing and not job.finish:
        raise DeepicdError(
            f"{missing:,} requests are not answered yet, so not all shards have ended.",
            "Run those shards again: each continues where it stopped. To write what there is, add --finish.",
        )
    return history.ledger.read_failures()


def _describe_damage(history: History) -> list[str]:
    """Return a sentence about lines of the ledger that could not be read; none where there were none."""
    if not (lines := history.ledger.damaged):
        return []
    sentence = f"Skipped {lines:,} damaged line{'s'[: lines != 1]} of the ledger; what was lost was asked for again."
    logger.warning(sentence)
    return [sentence]


def _covers(finished: int | None, requested: int | None) -> bool:
    """Return whether a run with the limit `finished` holds all rows of one with `requested`; None is no limit."""
    return finished is None or (requested is not None and requested <= finished)
