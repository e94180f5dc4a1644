"""Progress of TRL's trainers on stderr, in the manner of every other stage, and how long the steps took."""

import time
from contextlib import ExitStack
from typing import Any

from transformers import TrainerCallback

from deepicd.progress import Advance, progress


class Told(TrainerCallback):  # type: ignore[misc]
    """Counts steps, tokens and seconds of the training alone, without what comes before and after it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.tokens = 0
        self._began = 0.0
        self._open = ExitStack()
        self._advance: Advance | None = None
        self._seen_before = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self._advance = self._open.enter_context(progress("steps", total=state.max_steps))
            self._advance(state.global_step)
        self._seen_before = state.num_input_tokens_seen
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._advance:
            self._advance(1)

    def say(self, status: str) -> None:
        """What else is worth saying beside the count of steps."""
        if self._advance:
            self._advance(0, status)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if self._advance and logs and "loss" in logs:
            self._advance(0, f"loss {float(logs['loss']):.3f}")

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.seconds = time.perf_counter() - self._began
        self.tokens = state.num_input_tokens_seen - self._seen_before
        self._open.close()
