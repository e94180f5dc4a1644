"""GRPO with TRL's GRPOTrainer, on one device: a GPU, or a CPU for tiny models.

A generation is `batch` prompts × `rollouts` answers; the weights are updated once for each mini-batch of it. Every
generation is looked at before it is learned from (train.grpo.monitor).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepicd import storage
from deepicd.answer_form import measure_repetition
from deepicd.stage_records import GrpoRecord
from train import base_model, launch
from train.config import GrpoRecipe
from train.grpo.monitor import AnswerStatistics, GuardRails, summarize_step
from train.grpo.run import GrpoSetup
from train.grpo.step_log import StepLog
from train.nonfinite_gradients import NonfiniteGradientGuard
from train.rewards import trl
from train.rewards.judge import open_judge
from train.rewards.trl import RewardFunction, extract_texts
from train.run_folder import TrainingFolder, find_last_checkpoint
from train.trainer_progress import TrainingProgress


def fit(ready: GrpoSetup, shop: TrainingFolder[GrpoRecord]) -> dict[str, Any]:
    """Train into shop.model; what the record says beside the step reports."""
    launch.silence_libraries()
    from transformers import PrinterCallback
    from trl import GRPOTrainer

    recipe = ready.recipe
    asked = open_judge(recipe.judge, ready.corpus.origin) if recipe.judge_weight else None
    told, skips = TrainingProgress(), NonfiniteGradientGuard(shop.checkpoints)
    functions = trl.build_reward_functions(recipe.scheme(ready.base.chat.opening), asked)
    watched = Watched(recipe, functions, ready.base.chat.end, StepLog(shop.run.folder), told)
    trainer = GRPOTrainer(
        model=ready.base.path,
        args=_arguments(ready, shop.checkpoints),
        train_dataset=ready.corpus.rows("train").select(ready.fitting),
        processing_class=ready.base.chat.tokenizer,
        reward_funcs=watched.functions,
        callbacks=[told.callback(), skips.callback()],
    )
    trainer.remove_callback(PrinterCallback)
    resumed = find_last_checkpoint(shop.checkpoints)
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    weights = shop.run.folder / ".weights"
    trainer.save_model(str(weights))
    base_model.export_model(ready.base, recipe, weights, shop.model)
    storage.remove(weights)
    missed = dict(asked.missed) if asked else {}
    if asked:
        asked.close()
    return {
        "skipped_updates": skips.number,
        "training_seconds": round(told.seconds, 2),
        "resumed_at": int(resumed.name.rpartition("-")[2]) if resumed else None,
        "device": trainer.args.device.type,
        "devices": 1,
        "judge_missed": missed,
    }


class Watched:
    """Reward functions as TRL calls them, one after the other on all answers of a generation; the last reports."""

    def __init__(
        self, recipe: GrpoRecipe, functions: Sequence[RewardFunction], end: int, log: StepLog, told: TrainingProgress
    ) -> None:
        self._recipe, self._end, self._log, self._told = recipe, end, log, told
        self._guard = GuardRails(recipe)
        self._paid: dict[str, list[float | None]] = {}
        self._names = [function.__name__ for function in functions]
        self.functions = [self._watch(function) for function in functions]

    def _watch(self, function: RewardFunction) -> RewardFunction:
        def paid(*, completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], trainer_state: Any,
                 **columns: Any) -> list[float | None]:  # fmt: skip
            self._paid[function.__name__] = given = function(completions=completions, **columns)
            if function.__name__ == self._names[-1]:
                self._report(extract_texts(completions), completion_ids, trainer_state.global_step)
            return given

        paid.__name__ = function.__name__
        return paid

    def _report(self, written: Sequence[str], ids: Sequence[Sequence[int]], updates: int) -> None:
        recipe = self._recipe
        answers = []
        for place, text in enumerate(written):
            parts = {name: given[place] or 0.0 for name, given in self._paid.items()}
            words = text.split()
            cut = len(ids[place]) >= recipe.max_response and self._end not in ids[place][-1:]
            group = str(place // recipe.rollouts)  # TRL has the answers to one prompt side by side
            answers.append(
                AnswerStatistics(group, sum(parts.values()), parts, len(words), measure_repetition(words), cut)
            )
        report = summarize_step(updates * recipe.mini_batch // recipe.batch + 1, answers)
        self._log.write(report)
        self._told.say(str(report))
        self._guard.look(report)


def _arguments(ready: GrpoSetup, checkpoints: Path) -> Any:
    import torch
    from trl import GRPOConfig

    recipe, on_cpu = ready.recipe, not torch.cuda.is_available()
    by_vllm = {"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": recipe.gpu_memory}
    return GRPOConfig(
        output_dir=str(checkpoints),
        model_init_kwargs={
            "revision": ready.base.revision,
            "dtype": "float32",
            "attn_implementation": recipe.attention,
        },
        use_cpu=on_cpu,
        bf16=recipe.dtype == "bfloat16" and not on_cpu,
        seed=recipe.seed,
        data_seed=recipe.seed,
        max_steps=ready.updates,
        per_device_train_batch_size=recipe.micro_batch,
        gradient_accumulation_steps=recipe.mini_batch * recipe.rollouts // recipe.micro_batch,
        generation_batch_size=recipe.answers,
        num_generations=recipe.rollouts,
        max_completion_length=recipe.max_response,
        temperature=recipe.temperature,
        top_p=recipe.top_p,
        beta=recipe.kl,
        entropy_coef=recipe.entropy,
        loss_type="dapo",  # the mean over tokens, as verl's
        scale_rewards="group",
        optim="adamw_torch",
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="constant_with_warmup",  # as verl's
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        gradient_checkpointing=recipe.gradient_checkpointing,
        save_strategy="steps" if recipe.save_steps else "no",
        save_steps=max(1, recipe.save_steps * recipe.batch // recipe.mini_batch),
        save_total_limit=recipe.keep_checkpoints or None,
        logging_steps=1,
        disable_tqdm=True,  # progress is ours
        report_to="none",
        **(by_vllm if recipe.rollout == "vllm" else {}),
    )
