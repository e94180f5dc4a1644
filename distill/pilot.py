"""How long will it take? A share of the rows is written for good, measured, and scaled up to the rest.

The pilot's rows are spread over chapters and codes and stay in the ledger: the run itself does not ask for them again.
It is on the pessimistic side: fewer rows share a prefix than in the whole, and the last answers leave the engine short
of work. The engine's start is told apart, since it comes once.
"""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from deepicd.engines import base, metrics
from deepicd.engines.metrics import RunMetrics
from deepicd.engines.runner import Runner
from deepicd.errors import DeepicdError
from deepicd.log import format_duration
from distill import run
from distill.recipe import Recipe

FILLS = 4  # times that a pilot should fill the engine, for its rate to be more than start and end


@dataclass(frozen=True, slots=True)
class Share:
    """Of the rows that wait: a part of them, or a number."""

    part: float | None = None
    rows: int | None = None

    def of(self, waiting: int) -> int:
        return min(waiting, self.rows or max(1, round((self.part or 0) * waiting)))


def share(text: str) -> Share:
    """
    >>> share("1%").of(93_142), share("200").of(93_142)
    (931, 200)
    """
    try:
        if text.endswith("%") and 0 < float(text[:-1]) <= 100:
            return Share(part=float(text[:-1]) / 100)
        if int(text) > 0:
            return Share(rows=int(text))
    except ValueError:
        pass
    raise DeepicdError(f"--pilot is {text!r}.", "It takes a share or a number of rows: --pilot 1% or --pilot 200.")


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a pilot measured, and what follows for the rows that wait."""

    rows: int
    waiting: int
    """Rows still to be settled."""
    start: float  # seconds until the engine was up
    seconds: float
    kept: int
    attempts: int
    tokens_in: int
    tokens_out: int
    hit_rate: float | None
    gpus: int
    in_flight: int

    def __str__(self) -> str:
        rate = self.rows / self.seconds if self.seconds else 0.0
        lines = [
            f"Pilot: {self.rows:,} rows in {format_duration(self.seconds)},"
            f" engine up after {format_duration(self.start)}."
        ]
        if not self.rows or not rate:
            return f"{lines[0]} Nothing to forecast from."
        left = self.waiting / rate
        end = datetime.now().astimezone() + timedelta(seconds=self.start + left)
        hits = "" if self.hit_rate is None else f", {self.hit_rate:.0%} of prompt tokens from the cache"
        lines += [
            f"  {rate * 3600:,.0f} rows an hour, {self.kept / self.rows:.1%} kept, {self.attempts / self.rows:.2f}"
            " attempts a row",
            f"  tokens a second: {self.tokens_in / self.seconds:,.0f} in, {self.tokens_out / self.seconds:,.0f} out"
            f"{hits}",
            f"The {self.waiting:,} rows that wait: {format_duration(left)}, {left / 3600 * self.gpus:,.1f} hours on"
            f" {self.gpus} device{'s'[: self.gpus > 1]} taken together; started now, done {end:%Y-%m-%d %H:%M}",
        ]
        if self.rows < FILLS * self.in_flight:
            lines.append(
                f"The pilot is short for an engine that takes {self.in_flight:,} requests at once: the rate is likely"
                f" to be higher. Try --pilot {FILLS * self.in_flight}."
            )
        return "\n".join(lines)


def pilot(
    cohort: Path,
    out: Path,
    recipe: Recipe,
    wanted: Share,
    guidelines: Path | None,
    descriptions: Path | None,
    limit: int | None,
    responsible: str | None,
) -> Forecast:
    """Write a share of the rows that wait, into the ledger only, and forecast the others."""
    read, _ = run.ready(cohort, recipe, guidelines, descriptions, responsible)
    with run.at_work(out, recipe, read, limit) as (todo, history):
        run.say(todo, history.desk)
        places = todo.sample(wanted.of(len(todo.waiting)))
        clock = time.monotonic()
        engine = base.open_engine(recipe)
        start = time.monotonic() - clock
        try:
            with metrics.track_metrics("pilot", len(places), out, recipe.digest) as shown:
                Runner(engine, history.ledger, recipe.attempts, shown).run(run.tasks(todo, places, history))
                return _forecast(shown, recipe, start, len(todo.waiting), engine.ahead)
        finally:
            engine.close()


def _forecast(shown: RunMetrics, recipe: Recipe, start: float, waiting: int, ahead: int) -> Forecast:
    return Forecast(
        rows=shown.rows,
        waiting=waiting - shown.rows,
        start=start,
        seconds=shown.seconds,
        kept=shown.kept,
        attempts=shown.attempts,
        tokens_in=shown.tokens_in,
        tokens_out=shown.tokens_out,
        hit_rate=shown.hit_rate,
        gpus=recipe.tensor_parallel * recipe.data_parallel,
        in_flight=ahead,
    )
