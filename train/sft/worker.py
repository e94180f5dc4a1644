"""What each process of a fine-tuning does: TRL's SFTTrainer over rows that are tokens already. Started by train.launch.

Run: python -m train.sft.worker OUT/.job
"""

import sys
from pathlib import Path
from typing import Any

from deepicd import storage
from deepicd.engines.recipe import parse_recipe
from train.config import BOUNDS, SftRecipe
from train.launch import silence_libraries
from train.nonfinite_gradients import NonfiniteGradientGuard
from train.run_folder import find_last_checkpoint
from train.trainer_progress import TrainingProgress


def work(job: Path) -> None:
    """Train, save the weights to the job's folder, and tell in told.json how it went."""
    import pyarrow.parquet as pq
    from datasets import Dataset
    from transformers import AutoTokenizer, PrinterCallback, set_seed
    from trl import SFTTrainer

    silence_libraries()
    asked = storage.read_json(job / "job.json")
    recipe = parse_recipe(SftRecipe, asked["recipe"], "the job", BOUNDS)
    set_seed(recipe.seed)
    splits = {
        split: Dataset(pq.read_table(path))  # read so, no copy of the rows goes to the user's cache
        for split in ("train", "validation")
        if (path := job / f"{split}.parquet").is_file()
    }
    rows = len(splits["train"])
    told, skips = TrainingProgress(), NonfiniteGradientGuard(Path(asked["checkpoints"]))
    trainer = SFTTrainer(
        model=asked["base"],
        args=_arguments(recipe, asked, steps=recipe.max_steps or int(rows * recipe.epochs) // recipe.effective_batch),
        train_dataset=splits["train"],
        eval_dataset=splits.get("validation"),
        processing_class=AutoTokenizer.from_pretrained(asked["base"], revision=asked["revision"]),
        peft_config=_lora(recipe),
        callbacks=[told.callback(), skips.callback()],
    )
    trainer.remove_callback(PrinterCallback)
    resumed = find_last_checkpoint(Path(asked["checkpoints"]))
    before = _before(trainer, Path(asked["checkpoints"]))
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    after = _loss(trainer)
    trainer.save_model(str(job / "weights"))
    if trainer.is_world_process_zero():
        history = [line for line in trainer.state.log_history if "loss" in line]
        storage.write_json(job / "told.json", {
            "steps": trainer.state.global_step,
            "losses": [{"step": line["step"], "loss": round(line["loss"], 5)} for line in history],
            "validation_loss": {"before": before, "after": after},
            "skipped_updates": skips.number,
            "training_seconds": round(told.seconds, 2),
            "tokens_per_second": told.rate,
            "resumed_at": int(resumed.name.rpartition("-")[2]) if resumed else None,
            "device": trainer.args.device.type,
            "devices": trainer.args.world_size,
        })  # fmt: skip


def _before(trainer: Any, checkpoints: Path) -> float | None:
    """The loss that the very first start has found: a further one would find that of a checkpoint's weights."""
    path = checkpoints / "before.json"
    if not path.is_file():
        storage.write_json(path, _loss(trainer))
    before: float | None = storage.read_json(path)
    return before


def _loss(trainer: Any) -> float | None:
    """Of the validation rows; None where there are none."""
    return round(float(trainer.evaluate()["eval_loss"]), 5) if trainer.eval_dataset is not None else None


def _arguments(recipe: SftRecipe, asked: dict[str, Any], steps: int) -> Any:
    import torch
    from trl import SFTConfig

    on_cpu = not torch.cuda.is_available()
    return SFTConfig(
        output_dir=asked["checkpoints"],
        model_init_kwargs={
            "revision": asked["revision"],
            "dtype": "float32",  # weights and optimizer; bf16 computes, as below
            "attn_implementation": recipe.attention,
        },
        use_cpu=on_cpu,
        bf16=recipe.dtype == "bfloat16" and not on_cpu,
        seed=recipe.seed,
        data_seed=recipe.seed,
        num_train_epochs=recipe.epochs,
        max_steps=recipe.max_steps or -1,
        per_device_train_batch_size=recipe.per_device,
        per_device_eval_batch_size=recipe.per_device,
        gradient_accumulation_steps=recipe.accumulation,
        optim="adamw_torch" if on_cpu else "adamw_torch_fused",
        dataloader_num_workers=0 if on_cpu else 2,  # a GPU need not wait for rows
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        max_length=recipe.max_length,
        packing=recipe.packing,
        eval_packing=False,
        dataset_kwargs={"skip_prepare_dataset": not recipe.packing},  # rows are tokens, and none is too long
        gradient_checkpointing=recipe.gradient_checkpointing,
        save_strategy="steps" if recipe.save_steps else "no",
        save_steps=recipe.save_steps or 500,
        save_total_limit=recipe.keep_checkpoints or None,
        logging_steps=max(1, steps // 200),
        include_num_input_tokens_seen="non_padding",
        disable_tqdm=True,  # progress is ours
        report_to="none",
    )


def _lora(recipe: SftRecipe) -> Any:
    if not recipe.lora_rank:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


if __name__ == "__main__":
    work(Path(sys.argv[1]))
