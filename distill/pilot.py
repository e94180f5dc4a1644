"""`--pilot`: complete a share of the rows for good, measure it, and forecast how long the rest will take.

The pilot's rows are spread over chapters and codes and stay in the ledger: the run itself does not ask for them again.
The forecast is pessimistic: fewer rows share a prefix than in the whole, and towards the end the engine runs short of
work. The engine's start is reported separately, since it happens once.
"""

import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta

from deepicd.engines import metrics, registry
from deepicd.engines.metrics import RunMetrics
from deepicd.engines.runner import Runner
from deepicd.errors import DeepicdError
from deepicd.log import format_duration
from distill import run
from distill.run import Job

ENGINE_FILLS = 4  # times that a pilot should fill the engine, so that its first and last requests weigh little


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the waiting rows, or a number of them."""

    part: float | None = None
    rows: int | None = None

    def count(self, waiting: int) -> int:
        return min(waiting, self.rows or max(1, round((self.part or 0) * waiting)))


def parse_share(text: str) -> Share:
    """Return the value of --pilot. Raises DeepicdError.

    >>> parse_share("1%").count(93_142), parse_share("200").count(93_142)
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
    """What a pilot measured, and what follows for the waiting rows."""

    metrics: RunMetrics
    seconds: float
    start: float  # seconds until the engine was up
    waiting: int
    """Rows still to be settled."""
    devices: int
    capacity: int
    """Requests that the engine keeps in flight."""
    unit: str = "rows"
    """What is counted: rows, or rollouts where there are several per row."""

    def __str__(self) -> str:
        pilot = self.metrics
        rate = pilot.rows / self.seconds if self.seconds else 0.0
        lines = [
            f"Pilot: {pilot.rows:,} {self.unit} in {format_duration(self.seconds)},"
            f" engine up after {format_duration(self.start)}."
        ]
        if not pilot.rows or not rate:
            return f"{lines[0]} Nothing to forecast from."
        left = self.waiting / rate
        end = datetime.now().astimezone() + timedelta(seconds=self.start + left)
        hit_rate = pilot.cache_hit_rate
        hits = "" if hit_rate is None else f", {hit_rate:.0%} of prompt tokens from the cache"
        lines += [
            f"  {rate * 3600:,.0f} {self.unit} per hour, {pilot.kept / pilot.rows:.1%} kept,"
            f" {pilot.attempts / pilot.rows:.2f} attempts per {self.unit.removesuffix('s')}",
            f"  tokens per second: {pilot.tokens_in / self.seconds:,.0f} in,"
            f" {pilot.tokens_out / self.seconds:,.0f} out{hits}",
            f"The {self.waiting:,} waiting {self.unit}: {format_duration(left)}, {left / 3600 * self.devices:,.1f}"
            f" device hours on {self.devices} device{'s'[: self.devices > 1]}; started now, done {end:%Y-%m-%d %H:%M}",
        ]
        if pilot.rows < ENGINE_FILLS * self.capacity:
            lines.append(
                f"The pilot is short for an engine that keeps {self.capacity:,} requests in flight: the rate is likely"
                f" to be higher. Try --pilot {ENGINE_FILLS * self.capacity}."
            )
        return "\n".join(lines)


def run_pilot(job: Job, share: Share) -> Forecast:
    """Complete a share of the waiting rows, into the ledger only, and forecast the others."""
    recipe = job.recipe
    sources, _ = job.prepare()
    with run.open_plan(job, sources) as (plan, history):
        run.log_plan(plan, history)
        places = plan.sample(share.count(len(plan.waiting)))
        started = time.monotonic()
        with closing(registry.open_engine(recipe)) as engine:
            start = time.monotonic() - started
            with metrics.track_metrics("pilot", len(places), job.out, recipe.digest) as measured:
                Runner(engine, history.ledger, recipe.attempts, measured).run(run.build_tasks(plan, places, history))
                return Forecast(
                    metrics=measured,
                    seconds=measured.seconds,
                    start=start,
                    waiting=len(plan.waiting) - measured.rows,
                    devices=recipe.tensor_parallel * recipe.data_parallel,
                    capacity=engine.capacity,
                    unit="rollouts" if recipe.rollouts > 1 else "rows",
                )
