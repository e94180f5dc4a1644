"""The run loop: keep an engine busy, keep every answer, ask again where one was rejected.

Ctrl-C (or SIGTERM) once: nothing new is asked, what is under way is waited for and kept. Twice: the end, at once; what
was under way is lost, everything before it is kept.
"""

import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from deepicd.engines.base import Completion, Engine, Failure, Request
from deepicd.engines.ledger import Entry, Ledger
from deepicd.engines.metrics import RunMetrics
from deepicd.errors import DeepicdError

BROKEN = 16  # failures in a row, with no answer between them, after which it is not the rows' fault
AGAIN = 2  # times that a request is submitted anew when the engine failed for a reason that may pass


class Task(Protocol):
    """A row to be answered."""

    @property
    def first(self) -> int:
        """The number of the attempt to begin with."""

    def request(self, attempt: int) -> Request: ...

    def look(self, attempt: int, entry: Entry) -> Sequence[str]:
        """Why an answer does not do; empty for one that does. Called once it is in the ledger."""


@dataclass
class _Turn:
    task: Task
    attempt: int
    request: Request
    failures: int = 0


@dataclass
class Interrupt:
    """Whether the user wants an end."""

    asked: bool = False


@dataclass
class Runner:
    """Asks an engine for the answers to tasks. What nobody could answer is in `unanswered` afterwards."""

    engine: Engine
    ledger: Ledger
    attempts: int
    board: RunMetrics
    unanswered: dict[str, str] = field(default_factory=dict)
    """Key of the request → reason, for those that the engine could not answer."""
    _again: deque[_Turn] = field(default_factory=deque)
    _under_way: dict[str, _Turn] = field(default_factory=dict)
    _failed_in_a_row: int = 0

    def run(self, tasks: Iterable[Task]) -> None:
        """Until nothing is left. Raises KeyboardInterrupt after a drain, if the user asked for one."""
        fresh = (_Turn(task, task.first, task.request(task.first)) for task in tasks)
        with handle_interrupts() as stop:
            while True:
                if not stop.asked:
                    self._top_up(fresh)
                if not self._under_way:
                    break
                done = self.engine.finished()
                if not done:
                    raise DeepicdError(
                        f"The engine {self.engine.name} has lost {len(self._under_way):,} requests.",
                        "Run the same command again: it goes on from what is finished.",
                    )
                for result in done:
                    self._take(result)
            if stop.asked and (self._again or next(fresh, None)):
                raise KeyboardInterrupt

    def _top_up(self, fresh: Iterator[_Turn]) -> None:
        room = self.engine.ahead - len(self._under_way)
        if room <= 0:
            return
        turns = [self._again.popleft() for _ in range(min(room, len(self._again)))]
        turns += islice(fresh, room - len(turns))
        if turns:
            self._under_way |= {turn.request.key: turn for turn in turns}
            self.engine.submit([turn.request for turn in turns])

    def _take(self, result: Completion | Failure) -> None:
        turn = self._under_way.pop(result.key, None)
        if turn is None:
            return  # answered already: a worker that died had handed it over before, and its batch was done again
        if isinstance(result, Failure):
            self._failed(turn, result)
            return
        self._failed_in_a_row = 0
        entry = self._entry(turn, result)
        self.ledger.add_completion(result.key, entry)
        reasons = turn.task.look(turn.attempt, entry)
        last = turn.attempt + 1 >= self.attempts
        self.board.answered(result, reasons, settled=last or not reasons)
        if reasons and not last:
            self._again.append(_Turn(turn.task, turn.attempt + 1, turn.task.request(turn.attempt + 1)))

    def _failed(self, turn: _Turn, failure: Failure) -> None:
        self._failed_in_a_row += not failure.final
        if self._failed_in_a_row >= BROKEN:
            raise DeepicdError(
                f"The engine {self.engine.name} failed {BROKEN} times in a row: {failure.reason}.",
                "See to it, then run the same command again: it goes on from what is finished.",
            )
        if not failure.final and turn.failures < AGAIN:
            self._again.append(_Turn(turn.task, turn.attempt, turn.request, turn.failures + 1))
            return
        self.unanswered[failure.key] = failure.reason
        self.board.unanswered()

    def _entry(self, turn: _Turn, answer: Completion) -> Entry:
        """An answer as the ledger has it."""
        return {
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "attempt": turn.attempt,
            "seed": turn.request.seed,
            "engine": self.engine.name,
            "engine_version": self.engine.version,
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "cached_tokens": answer.cached_tokens,
            "seconds": None if answer.seconds is None else round(answer.seconds, 3),
        }


@contextmanager
def handle_interrupts() -> Iterator[Interrupt]:
    """In the block a first Ctrl-C or SIGTERM only asks for the end; a second one is KeyboardInterrupt as ever."""
    stop = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(*_: object) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        print("Stopping: waiting for what is under way. Once more stops at once.", file=sys.stderr, flush=True)

    before = {name: signal.signal(name, ask) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
