"""The guard against non-finite gradients, before they are clipped; and attention without cuDNN's kernel."""

import logging
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import REPOSITORY

from deepicd.errors import DeepicdError

pytestmark = pytest.mark.engines


def build(tmp_path: Path) -> tuple[Any, Any, Any]:
    """A guard that watches a linear layer and torch's own clipping, as TRL's trainers call it."""
    import torch

    from train.trainer_hooks import NonfiniteGradientGuard

    layer = torch.nn.Linear(4, 4)
    accelerator = SimpleNamespace(clip_grad_norm_=torch.nn.utils.clip_grad_norm_)
    trainer: Any = SimpleNamespace(model=layer, accelerator=accelerator, state=SimpleNamespace(global_step=6))
    guard = NonfiniteGradientGuard(tmp_path)
    guard.watch(trainer)
    return guard, layer, trainer


@pytest.mark.parametrize(
    ("value", "weight"),
    [(float("nan"), "bias"), (float("inf"), "bias"), (1e30, "none: the norm of finite gradients overflows")],
)
def test_an_update_that_clipping_would_hide_is_skipped_and_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, value: float, weight: str
) -> None:
    import torch

    guard, layer, trainer = build(tmp_path)
    layer(torch.ones(3, 4))
    layer.weight.grad, layer.bias.grad = torch.ones(4, 4), torch.full((4,), value)
    with caplog.at_level(logging.WARNING):
        norm = trainer.accelerator.clip_grad_norm_(layer.parameters(), 1.0)
    assert not torch.isfinite(norm)
    assert layer.weight.grad is None and layer.bias.grad is None
    assert [update.dump() for update in guard.skipped] == [{"step": 7, "batches": [[3, 4]], "weight": weight}]
    assert "rows × length 3 × 4, first bad weight" in caplog.text
    assert type(guard)(tmp_path).skipped == guard.skipped  # a later start knows of it


def test_a_finite_update_is_clipped_and_ten_bad_ones_name_attention_first(tmp_path: Path) -> None:
    import torch

    guard, layer, trainer = build(tmp_path)
    for weight in layer.parameters():
        weight.grad = torch.ones_like(weight)
    assert trainer.accelerator.clip_grad_norm_(layer.parameters(), 1.0) == pytest.approx(20**0.5)
    assert layer.bias.grad[0] == pytest.approx(20**-0.5)
    assert not guard.skipped
    with pytest.raises(DeepicdError, match="10 updates in a row") as error:
        for _ in range(10):
            layer.bias.grad = torch.full((4,), float("nan"))
            trainer.accelerator.clip_grad_norm_(layer.parameters(), 1.0)
    assert error.value.advice.index("attention") < error.value.advice.index("learning_rate")


SCRIPTS = {
    "training with TRL": "from train.launch import prepare_libraries; prepare_libraries()",
    "the engine transformers": (
        "from deepicd.engines.registry import open_engine; from distill.recipe import Recipe;"
        "open_engine(Recipe(engine='transformers', model='deepicd-tiny-teacher', context=512, max_tokens=8)).close()"
    ),
    "verl": (
        "import os; from train.grpo.verl_config import build_environment; os.environ.update(build_environment());"
        "import verl; from verl.workers.engine_workers import ActorRolloutRefWorker"
    ),
}


@pytest.mark.parametrize("process", SCRIPTS)
def test_no_process_that_trains_or_generates_uses_cudnns_attention(process: str) -> None:
    if process == "verl" and not find_spec("verl"):
        pytest.skip("needs verl")
    script = f"import torch; before = torch.backends.cuda.cudnn_sdp_enabled(); {SCRIPTS[process]}"
    script += "; assert before and not torch.backends.cuda.cudnn_sdp_enabled()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_trainers_worker_passes_the_same_place() -> None:
    sources = {name: (REPOSITORY / name).read_text() for name in ("train/sft/worker.py", "train/grpo/trl.py")}
    assert all("prepare_libraries()" in source and "guard.watch(trainer)" in source for source in sources.values())
    assert all("logging_nan_inf_filter=False" in source for source in sources.values())
