"""An update whose gradient is no number is left out, and counted; one such update makes every weight NaN for good.

trainer = SFTTrainer(…, callbacks=[(skips := Skips(checkpoints)).callback()])
skips.number      # updates that were left out, those before a stop too

TRL's trainers take such a step, and what is then seen of it is a failing assertion in a GPU's sampling. verl leaves the
update out, as is done here. A few of thousands do no harm; many in a row are a run that learns nothing.
"""

from pathlib import Path
from typing import Any

from deepicd import storage
from deepicd.errors import DeepicdError

IN_A_ROW = 10  # updates after which a run is stopped


class NonfiniteGradientGuard:
    def __init__(self, checkpoints: Path) -> None:
        self._kept = checkpoints / "skipped.json"
        self.number: int = storage.read_json(self._kept) if self._kept.is_file() else 0
        self._in_a_row = 0

    def callback(self) -> Any:
        """What a trainer calls."""
        from transformers import TrainerCallback

        skips = self

        class Callback(TrainerCallback):  # type: ignore[misc]  # transformers has no types
            def on_pre_optimizer_step(
                self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
            ) -> None:  # after the clipping of gradients, before the update
                skips.look(model, state.global_step + 1)

        return Callback()

    def look(self, model: Any, step: int) -> None:
        """Take the gradients of an update away that are no numbers. Raises DeepicdError after too many in a row."""
        if _finite(model):
            self._in_a_row = 0
            return
        for weight in model.parameters():
            weight.grad = None  # an optimizer passes it over
        self.number += 1
        storage.write_json(self._kept, self.number)
        self._in_a_row += 1
        if self._in_a_row == IN_A_ROW:
            raise DeepicdError(
                f"The gradient was no number in {IN_A_ROW} updates in a row, the last of them in step {step}; none of"
                " them was made.",
                "Lower learning_rate, or try attention=eager, which is slow, to see whether attention is the cause.",
            )


def _finite(model: Any) -> bool:
    """Of all gradients, on all devices. One number is fetched; DeepSpeed keeps its gradients to itself."""
    import torch
    from torch import distributed

    grads = [weight.grad for weight in model.parameters() if weight.grad is not None]
    here = [grad.to_local() if hasattr(grad, "to_local") else grad for grad in grads]
    size = torch.nn.utils.get_total_norm(here).to(next(model.parameters()).device)  # 0 of none
    wrong = (~torch.isfinite(size)).float()
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(wrong)
    return not wrong.item()
