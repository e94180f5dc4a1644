"""GRPO with TRL's GRPOTrainer, on one device: a GPU, or a CPU for tiny models.

A generation is `batch` prompts × `rollouts` answers; the weights are updated once per mini-batch of it. Guard rails
check every generation before the model learns from it (train.grpo.monitor).
"""

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from deepicd import storage
from deepicd.answer_form import measure_repetition
from deepicd.schema import DATASET
from deepicd.stage_records import GrpoRecord
from train import base_model, launch
from train.grpo.monitor import AnswerStatistics, GuardRails, StepLog, summarize_step
from train.grpo.setup import FitOutcome, GrpoSetup
from train.rewards import trl
from train.rewards.borne_out import BorneOut
from train.rewards.judge import Judge, open_judge
from train.rewards.points import Points, open_points
from train.rewards.trl import Completion, RewardFunction, extract_texts
from train.run_folder import TrainingFolder, find_last_checkpoint, parse_step
from train.trainer_hooks import NonfiniteGradientGuard, TrainerState, TrainingProgress

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import GRPOConfig


def fit(setup: GrpoSetup, folder: TrainingFolder[GrpoRecord]) -> FitOutcome:
    """Train into folder.model; return what the record says in addition to the step reports."""
    launch.prepare_libraries()
    from transformers import PrinterCallback
    from trl import GRPOTrainer

    recipe = setup.recipe
    progress, guard = TrainingProgress(), NonfiniteGradientGuard(folder.checkpoints)
    held = BorneOut(storage.expand_home(recipe.borne_out_cohort)).score if recipe.borne_out_weight else None
    scheme = recipe.build_scheme(setup.base.chat.opening)
    with ExitStack() as servers:
        judge = servers.enter_context(closing(_open_judge(setup))) if recipe.judge_weight else None
        points = servers.enter_context(closing(_open_points(setup))) if recipe.points_weight else None
        functions = trl.build_reward_functions(scheme, judge, held, points.score if points else None)
        monitored = MonitoredRewards(setup, functions, StepLog(folder.run.folder), progress)
        trainer = GRPOTrainer(
            model=setup.base.path,
            args=_build_arguments(setup, folder.checkpoints),
            train_dataset=_read_prompts(setup),
            processing_class=setup.base.chat.tokenizer,
            reward_funcs=monitored.functions,
            callbacks=[progress.build_callback()],
        )
        trainer.remove_callback(PrinterCallback)
        guard.watch(trainer)
        last = find_last_checkpoint(folder.checkpoints)
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    weights = folder.run.folder / ".weights"
    trainer.save_model(str(weights))
    base_model.export_model(setup.base, recipe, weights, folder.model)
    storage.remove(weights)
    return {
        "skipped_updates": len(guard.skipped),
        "skipped": guard.skipped[:100],
        "training_seconds": round(progress.seconds, 2),
        "resumed_at": parse_step(last) if last else None,
        "device": trainer.args.device.type,
        "devices": 1,
        "judge_missed": dict(judge.missed) if judge else {},
        "points_missed": points.count_missed() if points else {},
    }


def _open_judge(setup: GrpoSetup) -> Judge:
    return open_judge(setup.recipe.judge, setup.dataset.origin)


def _open_points(setup: GrpoSetup) -> Points:
    recipe = setup.recipe
    return open_points(recipe.judge_server, Path(recipe.points_verified), setup.dataset.origin)


def _read_prompts(setup: GrpoSetup) -> "Dataset":
    """Return the rows with prompts that are short enough, as the chat template accepts them."""
    rows, chat = setup.dataset.read_rows("train").select(setup.kept_rows), setup.base.chat
    rows = rows.select_columns(DATASET["grpo"].names)  # of multi, what rewards read
    if not chat.merges_system:
        return rows
    prompts = [chat.adapt(prompt) for prompt in rows["prompt"]]
    return rows.remove_columns("prompt").add_column("prompt", prompts)


class MonitoredRewards:
    """Reward functions that TRL calls one after the other on all answers of a generation; the last one reports."""

    def __init__(
        self, setup: GrpoSetup, functions: Sequence[RewardFunction], log: StepLog, progress: TrainingProgress
    ) -> None:
        self._recipe, self._end_token = setup.recipe, setup.base.chat.end_token
        self._opening = setup.base.chat.opening
        self._log, self._progress, self._guard = log, progress, GuardRails(setup.recipe)
        self._rewards: dict[str, list[float | None]] = {}
        self._names = [function.__name__ for function in functions]
        self.functions = [self._monitor(function) for function in functions]

    def _monitor(self, function: RewardFunction) -> RewardFunction:
        def reward(
            *,
            completions: Sequence[Completion],
            completion_ids: Sequence[Sequence[int]],
            trainer_state: TrainerState,
            **columns: object,
        ) -> list[float | None]:
            self._rewards[function.__name__] = rewards = function(completions=completions, **columns)
            if function.__name__ == self._names[-1]:
                self._report(extract_texts(completions, self._opening), completion_ids, trainer_state.global_step)
            return rewards

        reward.__name__ = function.__name__
        return reward

    def _report(self, texts: Sequence[str], ids: Sequence[Sequence[int]], updates: int) -> None:
        recipe = self._recipe
        answers = []
        for index, text in enumerate(texts):
            parts = {name: rewards[index] or 0.0 for name, rewards in self._rewards.items()}
            words = text.split()
            is_truncated = len(ids[index]) >= recipe.max_response and self._end_token not in ids[index][-1:]
            group = str(index // recipe.rollouts)  # TRL puts the answers to one prompt next to each other
            repeated = measure_repetition(words)
            answers.append(AnswerStatistics(group, sum(parts.values()), parts, len(words), repeated, is_truncated))
        report = summarize_step(updates * recipe.mini_batch // recipe.batch + 1, answers)
        self._log.write(report)
        self._progress.show_status(str(report))
        self._guard.check(report)


def _build_arguments(setup: GrpoSetup, checkpoints: Path) -> "GRPOConfig":
    import torch
    from trl import GRPOConfig

    recipe, on_cpu = setup.recipe, not torch.cuda.is_available()
    vllm = {"use_vllm": True, "vllm_mode": "colocate", "vllm_gpu_memory_utilization": recipe.gpu_memory}
    return GRPOConfig(
        output_dir=str(checkpoints),
        model_init_kwargs={
            "revision": setup.base.revision,
            "dtype": "float32",
            "attn_implementation": recipe.attention,
        },
        use_cpu=on_cpu,
        bf16=recipe.dtype == "bfloat16" and not on_cpu,
        seed=recipe.seed,
        data_seed=recipe.seed,
        max_steps=setup.updates,
        per_device_train_batch_size=recipe.micro_batch,
        gradient_accumulation_steps=recipe.mini_batch * recipe.rollouts // recipe.micro_batch,
        generation_batch_size=recipe.answers,
        num_generations=recipe.rollouts,
        max_completion_length=recipe.max_response,
        temperature=recipe.temperature,
        top_p=recipe.top_p,
        beta=recipe.kl,
        entropy_coef=recipe.entropy,
        loss_type="dapo",  # the mean over tokens, as in verl
        scale_rewards="group",
        optim="adamw_torch",
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="constant_with_warmup",  # as in verl
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        gradient_checkpointing=recipe.gradient_checkpointing,
        save_strategy="steps" if recipe.save_steps else "no",
        save_steps=max(1, recipe.save_steps * recipe.batch // recipe.mini_batch),
        save_total_limit=recipe.keep_checkpoints or None,
        logging_steps=1,
        logging_nan_inf_filter=False,  # a NaN loss is not a NaN gradient, and the log tells
        pad_to_multiple_of=recipe.pad_to_multiple_of or None,
        disable_tqdm=True,  # train.trainer_hooks shows progress
        report_to="none",
        **(vllm if recipe.rollout == "vllm" else {}),
    )
