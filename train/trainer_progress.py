"""Progress of TRL's trainers on stderr, in the manner of every other stage, and how long the steps took."""

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from deepicd.log import Advance, track_progress


@dataclass
class TrainingProgress:
    """Seconds and speed of the training alone, without what comes before and after it."""

    seconds: float = 0.0
    rate: int | None = None
    """Tokens a second, padding not among them, after the first step, in which a device is made ready."""
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
        began = 0.0
        warm: tuple[float, int] | None = None  # when the first step had ended, and after how many tokens

        class Callback(TrainerCallback):  # type: ignore[misc]
            def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                nonlocal began
                if state.is_world_process_zero:
                    told._advance = told._open.enter_context(track_progress("steps", total=state.max_steps))
                    told._advance(state.global_step)
                began = time.perf_counter()

            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                nonlocal warm
                warm = warm or (time.perf_counter(), state.num_input_tokens_seen)
                if told._advance:
                    told._advance(1)

            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
                if logs and "loss" in logs and "reward" not in logs:
                    told.say(f"loss {float(logs['loss']):.3f}")

            def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                now = time.perf_counter()
                told.seconds = now - began
                if warm and state.num_input_tokens_seen > warm[1]:
                    told.rate = round((state.num_input_tokens_seen - warm[1]) / (now - warm[0]))
                told._open.close()

        return Callback()
