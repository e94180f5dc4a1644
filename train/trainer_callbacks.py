"""What TRL's trainers call while they train: progress on stderr, and a guard against non-finite gradients.

    progress, guard = TrainingProgress(), NonfiniteGradientGuard(checkpoints)
    trainer = SFTTrainer(…, callbacks=[progress.build_callback(), guard.build_callback()])
    progress.seconds, progress.tokens_per_second, guard.skipped_updates      # after training

One update with a non-finite gradient makes every weight NaN for good. TRL's trainers apply it, and the first sign is a
failing assertion while a GPU samples. verl skips such updates, and so does the guard. A few among thousands do no harm;
many in a row mean that the run learns nothing, and it stops.
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.log import Advance, track_progress

if TYPE_CHECKING:
    import torch
    from transformers import TrainerCallback

MAX_SKIPPED_IN_A_ROW = 10  # updates after which a run is stopped


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


class NonfiniteGradientGuard:
    """Skip updates with non-finite gradients and count them, those of earlier starts included."""

    def __init__(self, checkpoints: Path) -> None:
        self._file = checkpoints / "skipped.json"
        self.skipped_updates: int = storage.read_json(self._file) if self._file.is_file() else 0
        self._skipped_in_a_row = 0

    def build_callback(self) -> "TrainerCallback":
        from transformers import TrainerCallback

        guard = self

        class Callback(TrainerCallback):  # type: ignore[misc]  # transformers has no types
            def on_pre_optimizer_step(
                self, args: object, state: TrainerState, control: object, model: "torch.nn.Module", **_: object
            ) -> None:  # after gradients are clipped, before the update
                guard.check(model, state.global_step + 1)

        return Callback()

    def check(self, model: "torch.nn.Module", step: int) -> None:
        """Drop the gradients of an update if they are not finite. Raises DeepicdError after too many in a row."""
        if _has_finite_gradients(model):
            self._skipped_in_a_row = 0
            return
        for weight in model.parameters():
            weight.grad = None  # an optimizer leaves such a weight alone
        self.skipped_updates += 1
        storage.write_json(self._file, self.skipped_updates)
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row == MAX_SKIPPED_IN_A_ROW:
            raise DeepicdError(
                f"Gradients were not finite in {MAX_SKIPPED_IN_A_ROW} updates in a row, the last one in step {step};"
                " all of them were skipped.",
                "Lower learning_rate, or try attention=eager, which is slow, to see whether attention is the cause.",
            )


def _has_finite_gradients(model: "torch.nn.Module") -> bool:
    """Return whether all gradients on all devices are finite; one number is synchronized.

    DeepSpeed hides its gradients, so with it this is always True.
    """
    import torch
    from torch import distributed

    gradients: list[Any] = [weight.grad for weight in model.parameters() if weight.grad is not None]
    local = [gradient.to_local() if hasattr(gradient, "to_local") else gradient for gradient in gradients]
    norm = torch.nn.utils.get_total_norm(local).to(next(model.parameters()).device)  # 0 for no gradients
    is_nonfinite = (~torch.isfinite(norm)).float()
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(is_nonfinite)
    return not is_nonfinite.item()
