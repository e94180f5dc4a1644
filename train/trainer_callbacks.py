"""What TRL's trainers call while they train: progress on stderr.

progress = TrainingProgress()
trainer = SFTTrainer(…, callbacks=[progress.build_callback()])
progress.seconds, progress.tokens_per_second     # after training
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from deepicd.log import Advance, track_progress

if TYPE_CHECKING:
    from transformers import TrainerCallback


class TrainerState(Protocol):
    """What is read of transformers.TrainerState."""

    is_world_process_zero: bool
    max_steps: int
    global_step: int
    num_input_tokens_seen: int


class TrainingProgress:
    """Seconds and speed of the training alone, without what comes before and after it."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.tokens_per_second: int | None = None
        """Without padding, and without the first step, in which a device warms up."""
        self._advance: Advance | None = None
        self._bar = ExitStack()

    def show_status(self, status: str) -> None:
        """Show a text next to the count of steps."""
        if self._advance:
            self._advance(0, status)

    def build_callback(self) -> "TrainerCallback":
        from transformers import TrainerCallback

        progress = self
        started = 0.0
        first_step: tuple[float, int] | None = None  # when it ended, and the tokens until then

        class Callback(TrainerCallback):  # type: ignore[misc]  # transformers has no types
            def on_train_begin(self, args: object, state: TrainerState, control: object, **_: object) -> None:
                nonlocal started
                if state.is_world_process_zero:
                    progress._advance = progress._bar.enter_context(track_progress("steps", total=state.max_steps))
                    progress._advance(state.global_step)
                started = time.perf_counter()

            def on_step_end(self, args: object, state: TrainerState, control: object, **_: object) -> None:
                nonlocal first_step
                first_step = first_step or (time.perf_counter(), state.num_input_tokens_seen)
                if progress._advance:
                    progress._advance(1)

            def on_log(
                self, args: object, state: object, control: object, logs: Mapping[str, float], **_: object
            ) -> None:
                if "loss" in logs and "reward" not in logs:
                    progress.show_status(f"loss {float(logs['loss']):.3f}")

            def on_train_end(self, args: object, state: TrainerState, control: object, **_: object) -> None:
                now = time.perf_counter()
                progress.seconds = now - started
                if first_step and state.num_input_tokens_seen > first_step[1]:
                    tokens = state.num_input_tokens_seen - first_step[1]
                    progress.tokens_per_second = round(tokens / (now - first_step[0]))
                progress._bar.close()

        return Callback()
