"""The distillation run: a trace for each row of a cohort, checked, kept or rejected, and never paid for twice.

    OUT/ledger/…                       every completion, as it comes (deepicd.engines.ledger)
    OUT/<recipe digest>/kept/…         rows that passed every check; derived from the ledger (distill.writer)
    OUT/<recipe digest>/rejected/…     every attempt that did not, text and reasons included
    OUT/<recipe digest>/run.json
    OUT/progress/<recipe digest>.…     throughput over time, as numbers and as a figure

The folder of a recipe appears, whole, when every row is settled. A run that is killed before has its ledger; the same
command then asks for nothing that is there. Another recipe, engine or cohort finds what it asks for in the same words.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from deepicd import disclosure, records
from deepicd.engines import base, ledger, metrics, token_counts
from deepicd.engines.base import Request
from deepicd.engines.ledger import Entry
from deepicd.engines.recipe import RUNNING
from deepicd.engines.runner import Runner
from deepicd.errors import DeepicdError
from deepicd.log import track_progress
from distill import pending, prompt, throughput_figure, writer
from distill.attempts import History
from distill.pending import Work
from distill.prompt_builder import Desk, Prompt
from distill.recipe import Recipe
from distill.sources import Sources, sources


@dataclass(frozen=True)
class _Task:
    """A row of the cohort that waits for an answer."""

    asked: Prompt
    first: int
    history: History

    def request(self, attempt: int) -> Request:
        return self.history.desk.request(self.asked, attempt)

    def look(self, attempt: int, entry: Entry) -> Sequence[str]:
        return self.history.looked_at(self.asked, attempt, entry).reasons


def distill(
    cohort: Path,
    out: Path,
    recipe: Recipe,
    *,
    guidelines: Path | None = None,
    descriptions: Path | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    responsible: str | None = None,
) -> records.Record:
    """Write the traces of a cohort (of its first `limit` rows a split) under OUT/<digest>; the record."""
    read, taken = ready(cohort, recipe, guidelines, descriptions, responsible)
    plan = records.plan_run("distill", options=recipe.options | {"by_model": recipe.by_model}, inputs=read.paths)
    folder = out / recipe.digest
    done = records.find_finished(folder, plan)
    if done and not done["counts"]["unanswered"] and _covers(done["counts"]["limit"], limit):
        return done
    records.refuse_other_content(folder, plan, overwrite=overwrite)
    with at_work(out, recipe, read, limit) as (todo, history):
        say(todo, history.desk)
        with records.fresh_folder(folder, plan, read.origin, overwrite=overwrite) as run:
            unanswered = ask(out, recipe, history, todo, todo.waiting)
            tally = writer.write(run.folder, read, history, read.origin, limit=limit, unanswered=unanswered)
            run.counts |= tally.counts() | pending.described(todo.counts)
            run.counts |= {"recipe_digest": recipe.digest, "limit": limit}
            with_guidelines = recipe.guideline_text != "none"
            run.counts["asked"] = {
                "version": prompt.VERSION,
                "messages": prompt.template(recipe.layout, with_guidelines=with_guidelines),
                "opening": prompt.OPENING,
            }
            run.counts["running"] = {name: getattr(recipe, name) for name in RUNNING}
            run.counts["tokens_counted_by"] = history.desk.tokens.counted_by
            run.counts["series"] = metrics.read_series(out, recipe.digest)
            run.notes += [f"Said by who ran it: {taken}"] if taken else []
            run.notes += damage(history)
    throughput_figure.draw(out, recipe.digest)
    return run.record


def ready(
    cohort: Path, recipe: Recipe, guidelines: Path | None, descriptions: Path | None, responsible: str | None = None
) -> tuple[Sources, str | None]:
    """Everything that can be wrong is looked at before anything is written; the sources, and the sentence if needed."""
    base.check_engine(recipe)
    read = readable(cohort, recipe, guidelines, descriptions)
    return read, disclosure.check_server(recipe, origin=read.origin, sentence=responsible)


def readable(cohort: Path, recipe: Recipe, guidelines: Path | None, descriptions: Path | None) -> Sources:
    """The sources, as far as prompts can be made of them; no engine is needed for that."""
    if recipe.prompt != prompt.VERSION:
        raise DeepicdError(
            f"The recipe asks for the prompt {recipe.prompt!r}.",
            f"This version writes {prompt.VERSION!r}: put that name.",
        )
    return sources(cohort, guidelines, descriptions)


@contextmanager
def at_work(out: Path, recipe: Recipe, read: Sources, limit: int | None) -> Iterator[tuple[Work, History]]:
    """The ledger, this process's alone, and what is still to be asked."""
    desk = Desk(recipe, read.knowledge, token_counts.find_counter(recipe))
    with ledger.open_ledger(out, read.origin) as book:
        history = History(book, desk)
        with (
            track_progress("rows planned", read.count(limit)) as advance,
            pending.planned(read.rows(limit), history, out / ledger.FOLDER, advance) as todo,
        ):
            if todo.counts["no note"] == todo.counts["rows"]:
                raise DeepicdError(f"No row of {read.cohort} has a note.", "Build the cohort again.")
            yield todo, history


def ask(
    out: Path, recipe: Recipe, history: History, todo: Work, places: Sequence[tuple[int, str, int]]
) -> dict[str, str]:
    """Have the engine answer these rows; requests that it could not answer, with its reasons."""
    if not places:
        return {}
    with (
        closing(base.open_engine(recipe)) as engine,
        metrics.track_metrics("traces", len(places), out, recipe.digest) as shown,
    ):
        asker = Runner(engine, history.ledger, recipe.attempts, shown)
        asker.run(tasks(todo, places, history))
    return asker.unanswered


def tasks(todo: Work, places: Sequence[tuple[int, str, int]], history: History) -> Iterator[_Task]:
    """The rows at these places, made into prompts one by one as they are asked for."""
    for row, first in todo.rows(places):
        asked = history.desk.prompt(row)
        assert not isinstance(asked, str), "planning has left out what cannot be asked"
        yield _Task(asked, first, history)


def say(todo: Work, desk: Desk) -> None:
    for line in pending.report(todo.counts, desk):
        click.echo(line, err=True)


def damage(history: History) -> list[str]:
    """A sentence about lines of the ledger that could not be read; none where there were none."""
    if not (lines := history.ledger.damaged):
        return []
    sentence = f"{lines:,} damaged lines of the ledger were passed over; what they held was asked for again."
    click.echo(sentence, err=True)
    return [sentence]


def _covers(had: int | None, wanted: int | None) -> bool:
    """Whether a run with one limit holds all that a run with another asks for; None is no limit."""
    return had is None or (wanted is not None and wanted <= had)
