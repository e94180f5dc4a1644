"""The loop of a run: keep an engine busy, write every completion to the ledger, try again where one is rejected.

After the first Ctrl-C (or SIGTERM) no request is sent, and those in flight are awaited and kept. A second one ends the
run at once and loses the requests in flight.
"""

import logging
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Generic, Protocol, Self, TypeVar

from deepicd.engines.base import Completion, Engine, Failure, Message, Request, Result
from deepicd.engines.ledger import Entry, Ledger, build_former_key, build_key, digest_prompt
from deepicd.engines.metrics import RunMetrics
from deepicd.engines.recipe import ModelRecipe
from deepicd.engines.registry import Settings, open_engine
from deepicd.errors import DeepicdError

logger = logging.getLogger(__name__)

MAX_FAILURES = 16  # in a row, without a completion between them; then it is asked whether it answers at all
RESUBMISSIONS = 2  # of one request that the engine failed at for a reason that may pass
UNREADABLE = "answer cannot be read"

T = TypeVar("T")


class Task(Protocol):
    """A row that needs a completion."""

    @property
    def first_attempt(self) -> int:
        """The number of the attempt to begin with, from 0."""

    def build_request(self, attempt: int) -> Request: ...

    def check(self, attempt: int, entry: Entry) -> Sequence[str]:
        """Return why a completion is rejected; empty for one that is kept. Called once it is in the ledger."""


@dataclass(frozen=True)
class Question(Generic[T]):
    """A task that is asked again, with another seed, until its answer can be read."""

    recipe: ModelRecipe
    attempts: int
    """Answers at most."""
    note_id: str
    messages: Sequence[Message]
    parse: Callable[[str], T | None]
    schema: Mapping[str, Any] | None = None
    rollout: int = 0
    """Of several answers to the same question, or of the trace that is asked about, counted from 0."""
    first_attempt: int = 0
    unreadable: str = UNREADABLE
    """The reason for asking again."""

    def build_request(self, attempt: int) -> Request:
        prompt_sha256 = digest_prompt(self.messages, "")
        key = build_key(self.recipe, self.note_id, prompt_sha256, attempt, self.schema, rollout=self.rollout)
        seed = self.recipe.derive_seed(attempt, self.rollout)
        return Request(key, list(self.messages), seed, schema=self.schema, rollout=self.rollout)

    def check(self, attempt: int, entry: Entry) -> Sequence[str]:
        return [self.unreadable] if self.parse(entry["text"]) is None else []

    def find_key(self, ledger: Ledger, attempt: int) -> str:
        """Return the key under which the ledger has an attempt, or would have it."""
        key = self.build_request(attempt).key
        if self.rollout:
            return key  # version 0.1.0 knew the first rollout alone
        former = build_former_key(self.recipe, self.note_id, digest_prompt(self.messages, ""), attempt)
        return ledger.resolve_key(key, former)

    def read(self, ledger: Ledger) -> tuple[T | None, list[Entry]]:
        """Return the first answer that can be read, and all entries up to it."""
        entries: list[Entry] = []
        for attempt in range(self.attempts):
            if (entry := ledger.read_completion(self.find_key(ledger, attempt))) is None:
                break
            entries.append(entry)
            if (value := self.parse(entry["text"])) is not None:
                return value, entries
        return None, entries

    def find_task(self, ledger: Ledger) -> Self | None:
        """Return the question at its next attempt; None where it is answered, or no attempt is left."""
        value, entries = self.read(ledger)
        if value is not None or len(entries) >= self.attempts:
            return None
        return replace(self, first_attempt=len(entries))


@dataclass
class _Submission:
    task: Task
    attempt: int
    request: Request
    failures: int = 0


@dataclass
class Interrupt:
    """Whether the user asked the run to stop."""

    signal: str = ""
    """The name of the signal by which; '' before."""

    @property
    def is_requested(self) -> bool:
        return bool(self.signal)


@dataclass
class Runner:
    """Completes tasks with an engine, each in `attempts` attempts at most, or in as many as it names itself."""

    engine: Engine
    ledger: Ledger
    attempts: int
    metrics: RunMetrics
    unanswered: dict[str, str] = field(default_factory=dict)
    """Key of the request → reason, for those that the engine could not answer."""
    _waiting: deque[_Submission] = field(default_factory=deque)  # further attempts and resubmissions
    _in_flight: dict[str, _Submission] = field(default_factory=dict)  # by key
    _failures_in_a_row: int = 0

    def run(self, tasks: Iterable[Task]) -> None:
        """Complete all tasks. Raises KeyboardInterrupt if the user stopped the run before its end."""
        new = (_Submission(task, task.first_attempt, task.build_request(task.first_attempt)) for task in tasks)
        with handle_interrupts() as interrupt:
            while True:
                if not interrupt.is_requested:
                    self._fill_engine(new)
                if not self._in_flight:
                    break
                results = self._collect(interrupt)
                if not results:
                    raise DeepicdError(
                        f"The engine {self.engine.name} has lost {len(self._in_flight):,} requests.",
                        "Run the same command again: it continues from what is finished.",
                    )
                for result in results:
                    self._handle(result)
            if interrupt.is_requested and (self._waiting or next(new, None)):
                raise KeyboardInterrupt

    def _collect(self, interrupt: Interrupt) -> list[Result]:
        try:
            return self.engine.collect()
        except DeepicdError as error:
            if not interrupt.is_requested:
                raise
            # a terminal, Slurm or systemd sends the signal to all processes of a run, and the engine's end with it
            raise DeepicdError(
                f"Stopped by {interrupt.signal}, which also ended the engine {self.engine.name}:"
                f" {len(self._in_flight):,} requests in flight were lost, all that had been answered is kept.",
                "Rerun the same command to continue.",
            ) from error

    def _fill_engine(self, new: Iterator[_Submission]) -> None:
        room = self.engine.capacity - len(self._in_flight)
        if room <= 0:
            return
        submissions = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
        submissions += islice(new, room - len(submissions))
        if submissions:
            self._in_flight |= {submission.request.key: submission for submission in submissions}
            self.engine.submit([submission.request for submission in submissions])

    def _handle(self, result: Result) -> None:
        submission = self._in_flight.pop(result.key, None)
        if submission is None:
            return  # a worker died after returning this, and its batch was repeated
        if isinstance(result, Failure):
            self._handle_failure(submission, result)
            return
        self._failures_in_a_row = 0
        entry = self._build_entry(submission, result)
        self.ledger.add_completion(result.key, entry)
        task, next_attempt = submission.task, submission.attempt + 1
        reasons = task.check(submission.attempt, entry)
        is_settled = not reasons or next_attempt >= getattr(task, "attempts", self.attempts)
        self.metrics.add_completion(result, reasons, is_settled=is_settled)
        if not is_settled:
            self._waiting.append(_Submission(task, next_attempt, task.build_request(next_attempt)))

    def _handle_failure(self, submission: _Submission, failure: Failure) -> None:
        is_answering = getattr(self.engine, "is_answering", None)
        self._failures_in_a_row += not failure.is_final or is_answering is not None
        if self._failures_in_a_row >= MAX_FAILURES:
            if is_answering is None or not is_answering():
                raise DeepicdError(
                    f"The engine {self.engine.name} failed {MAX_FAILURES} times in a row: {failure.reason}.",
                    "Fix this, then run the same command again: it continues from what is finished.",
                )
            self._failures_in_a_row = 0  # it answers another prompt, so these rows are at fault
        if not failure.is_final and submission.failures < RESUBMISSIONS:
            submission.failures += 1
            self._waiting.append(submission)
            return
        self.unanswered[failure.key] = failure.reason
        self.ledger.add_failure(failure.key, failure.reason)
        self.metrics.add_failure()

    def _build_entry(self, submission: _Submission, completion: Completion) -> Entry:
        """Return a completion as the ledger has it."""
        day = {} if completion.template_date is None else {"template_date": completion.template_date}
        return day | {
            "text": completion.text,
            "finish_reason": completion.finish_reason,
            "rollout": submission.request.rollout,
            "attempt": submission.attempt,
            "seed": submission.request.seed,
            "engine": self.engine.name,
            "engine_version": self.engine.version,
            "prompt_tokens": completion.prompt_tokens,
            "completion_tokens": completion.completion_tokens,
            "cached_tokens": completion.cached_tokens,
            "seconds": None if completion.seconds is None else round(completion.seconds, 3),
        }


def complete_tasks(
    recipe: Settings,
    ledger: Ledger,
    tasks: Iterable[Task],
    attempts: int,
    tracking: AbstractContextManager[RunMetrics],
) -> dict[str, str]:
    """Open the engine of a recipe and complete all tasks with it; `tracking` comes from `track_metrics`.

    Returns the key of each request that the engine could not answer, with the reason.
    """
    with closing(open_engine(recipe)) as engine, tracking as metrics:
        runner = Runner(engine, ledger, attempts, metrics)
        runner.run(tasks)
    return runner.unanswered


def describe_template_dates(dates: Mapping[str, int]) -> list[str]:
    """Return a sentence for a record about dates that a server's template wrote into prompts. `dates`: completions."""
    if not dates:
        return []
    days = ", ".join(f"{day} ({number:,} completions)" for day, number in sorted(dates.items()))
    return [f"The server's chat template writes today's date into prompts, and no request can pin it: {days}."]


def explain_no_answers(reasons: Mapping[str, int]) -> DeepicdError:
    """Return the error for a run in which no row was answered: it has no result. `reasons`: reason → rows."""
    counts = ", ".join(f"{reason} ({rows:,})" for reason, rows in reasons.items())
    return DeepicdError(f"No row was answered: {counts}.", "Fix this, then run the same command again.")


@contextmanager
def handle_interrupts() -> Iterator[Interrupt]:
    """Turn the first Ctrl-C or SIGTERM in the block into a request to stop; a second one raises KeyboardInterrupt."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def request_stop(number: int, _: object) -> None:
        if interrupt.is_requested:
            raise KeyboardInterrupt
        interrupt.signal = signal.Signals(number).name
        logger.warning("Stopping: waiting for the requests in flight. Press Ctrl-C again to stop at once.")

    before = {name: signal.signal(name, request_stop) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
