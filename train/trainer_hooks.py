"""What hooks into TRL's trainers: progress on stderr, and a guard that skips updates with non-finite gradients.

    progress, guard = TrainingProgress(), NonfiniteGradientGuard(checkpoints)
    trainer = SFTTrainer(…, callbacks=[progress.build_callback()])
    guard.watch(trainer)                 # before trainer.train()
    progress.seconds, progress.tokens_per_second
    guard.skipped                        # [SkippedUpdate(step=5, batches=[[16, 1088]], weight='….q_proj.weight')]

One update with a non-finite gradient makes every weight NaN for good. TRL's trainers apply it, and the first sign is a
failing assertion while a GPU samples. verl skips such updates, and so does the guard. A few among thousands do no harm;
many in a row mean that the run learns nothing, and it stops.

Gradients are looked at before they are clipped: clipping turns finite gradients whose norm overflows into an update of
zero, and one infinite element into NaN in every weight. Step, batches (rows × length) and the first weight whose
gradient is not finite tell a fault of attention, which comes with certain lengths, from a learning rate too high.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.log import Advance, track_progress
from deepicd.record_model import parse_model
from deepicd.stage_records import SkippedUpdate

if TYPE_CHECKING:
    import torch
    from transformers import Trainer, TrainerCallback

MAX_SKIPPED_IN_A_ROW = 10  # updates after which a run is stopped
OVERFLOW = "none: the norm of finite gradients overflows"

logger = logging.getLogger(__name__)


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
    """Skips updates and records them, those of earlier starts included."""

    def __init__(self, checkpoints: Path) -> None:
        self._file = checkpoints / "skipped.json"
        known = storage.read_json(self._file) if self._file.is_file() else []
        self.skipped: list[SkippedUpdate] = [parse_model(SkippedUpdate, update, str(self._file)) for update in known]
        self._skipped_in_a_row = 0
        self._batches: list[list[int]] = []  # rows and length of each backward pass since the last update

    def watch(self, trainer: "Trainer") -> None:
        """Look at the gradients of every update of a trainer before it clips them."""
        import torch

        def note_batch(module: object, arguments: tuple[Any, ...], options: Mapping[str, Any]) -> None:
            ids = options.get("input_ids", arguments[0] if arguments else None)
            if torch.is_grad_enabled() and isinstance(ids, torch.Tensor):
                self._batches.append(list(ids.shape))

        trainer.model.register_forward_pre_hook(note_batch, with_kwargs=True)
        clip = trainer.accelerator.clip_grad_norm_

        @wraps(clip)
        def check_and_clip(parameters: Iterable["torch.nn.Parameter"], *options: Any, **named: Any) -> Any:
            weights = list(parameters)
            norm = self.check(trainer.model, trainer.state.global_step + 1)
            return clip(weights, *options, **named) if norm is None else norm

        trainer.accelerator.clip_grad_norm_ = check_and_clip

    def check(self, model: "torch.nn.Module", step: int) -> "torch.Tensor | None":
        """Drop the gradients of an update if they are not finite, and return their norm; None if they are.

        Raises DeepicdError after too many in a row.
        """
        batches, self._batches = self._batches, []
        norm, weight = _find_nonfinite(model)
        if weight is None:
            self._skipped_in_a_row = 0
            return None
        for parameter in model.parameters():
            parameter.grad = None  # an optimizer leaves such a weight alone
        longest = sorted(batches, key=lambda batch: batch[-1], reverse=True)
        self.skipped.append(SkippedUpdate(step=step, batches=longest[:8], weight=weight))
        storage.write_json(self._file, [update.dump() for update in self.skipped])
        shapes = ", ".join(" × ".join(map(str, batch)) for batch in longest[:3]) or "unknown"
        logger.warning("Skipped the update of step %s: rows × length %s, first bad weight %s.", step, shapes, weight)
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row == MAX_SKIPPED_IN_A_ROW:
            raise DeepicdError(
                f"Gradients were not finite in {MAX_SKIPPED_IN_A_ROW} updates in a row, the last one in step {step}"
                f" (rows × length {shapes}; first weight: {weight}); all of them were skipped.",
                "Look at attention first: attention=eager (slow) or pad_to_multiple_of=128 shows whether it is the"
                " cause. If these change nothing, lower learning_rate.",
            )
        return norm


def _find_nonfinite(model: "torch.nn.Module") -> "tuple[torch.Tensor, str | None]":
    """Return the norm of this device's gradients, and the first weight on any device whose gradient is not finite.

    None if all are; one number is synchronized. DeepSpeed hides its gradients, so with it the result is always None.
    """
    import torch
    from torch import distributed

    named = [(name, weight.grad) for name, weight in model.named_parameters()]
    local = [
        (place, gradient.to_local() if hasattr(gradient, "to_local") else gradient)
        for place, (_, gradient) in enumerate(named)
        if gradient is not None
    ]
    norm = torch.nn.utils.get_total_norm([gradient for _, gradient in local])  # 0 for no gradients
    norm = norm.to(next(model.parameters()).device)
    none = len(named) + 1
    first = none
    if not torch.isfinite(norm):
        first = next((place for place, gradient in local if not gradient.isfinite().all()), len(named))
    place = torch.tensor(first, device=norm.device)
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(place, distributed.ReduceOp.MIN)
    if (found := int(place)) == none:
        return norm, None
    return norm, OVERFLOW if found == len(named) else named[found][0]
