"""A run that several processes complete together: with `--shard` and `--merge`, or by the workers of a Ray cluster.

    deepicd distill COHORT OUT --recipe R --shard 3/16     # an array of Slurm, an indexed job of Kubernetes
    deepicd distill COHORT OUT --recipe R --merge          # the files, byte for byte those of one process
    deepicd distill COHORT OUT --recipe R --base-url URL,URL --workers 8     # processes of this machine
    RAY_ADDRESS=head:6379 deepicd distill COHORT OUT --recipe R --engine ray --set data_parallel=8

All write to one OUT on a disk that they share, each into sessions of the ledger of its own; none waits for another one.
A shard that was stopped continues with the same command, on any node.

A worker is a Ray task that completes a shard from the cohort to the ledger: it plans, builds prompts, tokenizes,
generates with an engine of its own and checks. No note, prompt or completion passes through this process or through
Ray, so that its memory does not depend on the rows. A worker that dies, with its node or without, is started again and
continues from the ledger, unless it has died so several times without getting any further.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from deepicd import __version__
from deepicd.engines import metrics
from deepicd.engines.ledger import FOLDER as LEDGER_FOLDER
from deepicd.engines.ledger_lines import PATTERN as SESSIONS
from deepicd.engines.ledger_segments import PATTERN as SEGMENTS
from deepicd.engines.ray_cluster import build_replica_recipe, count_gpus, open_cluster
from deepicd.engines.runner import explain_no_answers
from deepicd.engines.shard import Shard
from deepicd.errors import DeepicdError
from deepicd.lease import HEARTBEAT, STALE_AFTER, hold_lease, is_held, is_held_elsewhere
from deepicd.log import Advance, track_progress
from deepicd.stage_records import DistillRecord
from distill.recipe import Recipe
from distill.run import Job, complete_rows, log_plan, open_plan, run_job


@dataclass(frozen=True, slots=True)
class ShardSummary:
    """What became of the rows of a shard."""

    shard: Shard
    rows: int
    unanswered: dict[str, int]
    """Reason → requests."""

    def __str__(self) -> str:
        lines = [f"{str(self.shard).capitalize()}: all of {self.rows:,} rows are in the ledger."]
        if self.unanswered:
            left = sum(self.unanswered.values())
            lines = [f"{str(self.shard).capitalize()}: {self.rows:,} rows; {left:,} requests got no answer."]
            lines += [f"  {number:>7,} unanswered: {reason}" for reason, number in self.unanswered.items()]
            lines.append("  The same command asks for these again.")
        return "\n".join([*lines, "Once all shards have ended, run the same command with --merge."])


def run_shard(job: Job, shard: Shard) -> ShardSummary:
    """Complete the rows of a shard into the ledger; files are left to `--merge`."""
    sources, _ = job.prepare()
    with open_plan(job, sources) as (plan, history):
        log_plan(plan, history)
        reasons = complete_rows(job, plan, history)
        waiting, rows = len(plan.waiting), plan.counts["rows"]
    unanswered = dict(Counter(reasons.values()).most_common())
    if reasons and len(reasons) == waiting == rows:
        raise explain_no_answers(unanswered)
    return ShardSummary(shard, rows, unanswered)


logger = logging.getLogger(__name__)

MARKER = ".workers.lock"
POLL = 2.0  # seconds
FRUITLESS = 2  # times in a row that a worker may die without having written anything


class WorkerDied(DeepicdError):
    """A worker ended without saying why."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker is told: paths and settings, and nothing of a record."""

    job: Job
    folder: Path
    """The working directory of the run, for paths in the recipe."""
    marker: Path
    """A file beside the ledger, which only those see who share the disk."""
    version: str = __version__

    def complete(self, shard: Shard) -> DeepicdError | None:
        """Complete a shard. Return what stopped it."""
        try:
            self._check()
            _wait_for_lease(self.job.out / LEDGER_FOLDER / shard.lock)
            run_shard(replace(self.job, shard=shard), shard)
        except DeepicdError as error:
            return error
        return None

    def _check(self) -> None:
        if self.version != __version__:
            raise DeepicdError(
                f"A worker has deepicd {__version__}, and this run is of {self.version}.",
                "Install the same version on all nodes.",
            )
        if not self.marker.exists():
            raise DeepicdError(
                f"A worker does not see what is in {self.job.out}.",
                "Choose folders on a disk that all nodes of the cluster share, under the same path.",
            )
        if self.folder.is_dir():
            os.chdir(self.folder)


def _wait_for_lease(lock: Path, is_held: Callable[[Path], bool] = is_held) -> None:
    """Wait until a process that held a lease and died no longer counts as alive, if there was one."""
    until = time.monotonic() + STALE_AFTER + 2 * HEARTBEAT
    while is_held(lock) and time.monotonic() < until:
        time.sleep(POLL)


def run_on_ray(job: Job, workers: int) -> DistillRecord:
    """Write the traces of a job that workers complete, and return the record."""
    return run_job(job, partial(_complete_rows, workers))


def count_workers(recipe: Recipe, requested: int | None) -> int:
    """Return how many workers complete a recipe's rows; 0 where the run does so itself."""
    return requested or (recipe.data_parallel if recipe.engine == "ray" else 0)


def _complete_rows(workers: int, job: Job, rollouts: int) -> None:
    """Complete all rows into the ledger. Raises DeepicdError for a shard that does not get further.

    `rollouts`: of the whole run, for the progress.
    """
    recipe = build_worker_recipe(job.recipe)
    with (
        open_cluster(workers, count_gpus(recipe)) as options,
        _write_marker(job) as marker,
        track_progress("traces", rollouts) as advance,
    ):
        import ray  # only now: it reads, as it is imported, what opening a cluster puts into the environment

        work = Work(_build_worker_job(job, recipe), Path.cwd(), marker)
        remote = ray.remote(_complete_shard).options(**options, max_retries=0)
        shards = [Shard(number, workers) for number in range(1, workers + 1)]
        watch = Watch(partial(remote.remote, work), Progress(job, advance))
        watch.run(shards)


def _complete_shard(work: Work, shard: Shard) -> DeepicdError | None:
    return work.complete(shard)


@dataclass
class Progress:
    """How far the shards are, by what their workers write beside the ledger."""

    job: Job
    advance: Advance
    _shown: int = 0

    def describe(self, shard: Shard) -> set[tuple[str, int]]:
        """Return names and sizes of a shard's files in the ledger, which differ once it has written anything."""
        files = (path for pattern in (SESSIONS, SEGMENTS) for path in (self.job.out / LEDGER_FOLDER).glob(pattern))
        return {(path.name, path.stat().st_size) for path in files if shard.owns_number(int(path.name[:5]))}

    def show(self, shards: list[Shard]) -> None:
        settled = sum(self._count_settled(shard) for shard in shards)
        self.advance(settled - self._shown)
        self._shown = settled

    def _count_settled(self, shard: Shard) -> int:
        series = metrics.read_series(self.job.out, self.job.recipe.digest + shard.suffix)
        return int(series[-1]["rows"]) if series else 0


@dataclass
class Watch:
    """Starts a task per shard, and again where one dies."""

    launch: Callable[[Shard], Any]
    progress: Progress
    _before: dict[Shard, set[tuple[str, int]]] = field(default_factory=dict)  # a shard's files when it was last started
    _deaths: Counter[Shard] = field(default_factory=Counter)  # in a row, of workers that wrote nothing

    def run(self, shards: list[Shard]) -> None:
        """Run all shards to their end. Raises DeepicdError for the first that could not get further."""
        import ray

        running = {self.start(shard): shard for shard in shards}
        failed: list[DeepicdError] = []
        while running:
            ended, _ = ray.wait(list(running), timeout=POLL)
            self.progress.show(shards)
            for task in ended:
                shard = running.pop(task)
                if (error := _read_result(task)) is None:
                    continue
                if self.may_continue(shard, error):
                    logger.warning("The worker of %s is started again: %s", shard, error.what)
                    running[self.start(shard)] = shard
                else:
                    failed.append(error)
        if failed:
            raise failed[0]

    def may_continue(self, shard: Shard, error: DeepicdError) -> bool:
        """Return whether to start a worker again: one that got further, or that died, which may be its node's fault."""
        if self.progress.describe(shard) != self._before.get(shard, set()):
            del self._deaths[shard]
            return True
        self._deaths[shard] += 1
        return isinstance(error, WorkerDied) and self._deaths[shard] <= FRUITLESS

    def start(self, shard: Shard) -> Any:
        """Start the worker of a shard; return its task."""
        self._before[shard] = self.progress.describe(shard)
        return self.launch(shard)


def _read_result(task: Any) -> DeepicdError | None:
    import ray

    try:
        result: DeepicdError | None = ray.get(task)
    except ray.exceptions.RayTaskError:
        raise  # a bug, with its traceback
    except ray.exceptions.RayError as error:
        return WorkerDied(
            f"A worker has ended ({type(error).__name__}).",
            "See `ray status` and the logs of Ray for the reason; the same command continues from what is finished.",
        )
    return result


@contextmanager
def _write_marker(job: Job) -> Iterator[Path]:
    """Yield a file beside the ledger: the lease of the process that starts the workers, which a killed one leaves."""
    folder = (job.out / LEDGER_FOLDER).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / MARKER
    _wait_for_lease(marker, is_held_elsewhere)  # a run that lives on this machine is refused at once
    with hold_lease(marker, f"completing rows of {job.out} with workers"):
        for left in folder.glob(".workers-*"):  # by a killed process of an earlier version
            left.unlink(missing_ok=True)
        yield marker


def build_worker_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe of a worker, which has one of the copies of the model."""
    return build_replica_recipe(recipe) if recipe.engine == "ray" else recipe


def _build_worker_job(job: Job, recipe: Recipe) -> Job:
    """Return a job with paths that do not depend on where a worker is started."""
    paths = {name: getattr(job, name) for name in ("cohort", "out", "guidelines", "descriptions", "hints", "examples")}
    return replace(job, recipe=recipe, **{name: path.absolute() for name, path in paths.items() if path})
