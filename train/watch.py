"""Progress of TRL's trainers on stderr, in the manner of every other stage, and how long the steps took."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from deepicd.progress import Advance, progress


@dataclass
class Told:
    """Steps, tokens and seconds of the training alone, without what comes before and after it."""

    seconds: float = 0.0
    tokens: int = 0
    _advance: Advance | None = None
    _open: ExitStack = field(default_factory=ExitStack)

    def say(self, status: str) -> None:
        """What else is worth saying beside the count of steps."""
        if self._advance:
            self._advance(0, status)

    def callback(self) -> Any:
        """What a trainer calls."""
        from transformers import TrainerCallback

        told = self
        began, seen = 0.0, 0

        class Callback(TrainerCallback):  # type: ignore[misc]
            def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                nonlocal began, seen
                if state.is_world_process_zero:
                    told._advance = told._open.enter_context(progress("steps", total=state.max_steps))
                    told._advance(state.global_step)
                began, seen = time.perf_counter(), state.num_input_tokens_seen

            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                if told._advance:
                    told._advance(1)

            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
                if logs and "loss" in logs and "reward" not in logs:
                    told.say(f"loss {float(logs['loss']):.3f}")

            def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                told.seconds = time.perf_counter() - began
                told.tokens = state.num_input_tokens_seen - seen
                told._open.close()

        return Callback()
