"""One process of a fine-tuning: TRL's SFTTrainer over rows that are already tokens. Started by train.launch.

Run: python -m train.sft.worker OUT/.job
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from deepicd import storage
from deepicd.engines.tokenizer import load_tokenizer
from deepicd.errors import DeepicdError
from train.config import SftRecipe
from train.launch import prepare_libraries
from train.run_folder import find_last_checkpoint, parse_step
from train.sft.packing import check_rows_stay_apart
from train.trainer_hooks import NonfiniteGradientGuard, TrainingProgress

if TYPE_CHECKING:
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer


class Job(TypedDict):
    """job.json: what the workers need in addition to the rows."""

    recipe: dict[str, object]
    base: str
    revision: str | None
    checkpoints: str
    steps: int


def work(job: Path) -> None:
    """Train, and write the weights and outcome.json to the job's folder."""
    import pyarrow.parquet as pq
    from datasets import Dataset
    from transformers import PrinterCallback, set_seed
    from trl import SFTTrainer

    prepare_libraries()
    values: Job = storage.read_json(job / "job.json")
    checkpoints = Path(values["checkpoints"])
    recipe = SftRecipe.parse(values["recipe"], "the job")
    set_seed(recipe.seed)
    splits = {
        split: Dataset(pq.read_table(path))  # read this way, rows are not copied to the user's cache
        for split in ("train", "validation")
        if (path := job / f"{split}.parquet").is_file()
    }
    progress, guard = TrainingProgress(), NonfiniteGradientGuard(checkpoints)
    trainer = SFTTrainer(
        model=values["base"],
        args=_build_arguments(recipe, values),
        train_dataset=splits["train"],
        eval_dataset=splits.get("validation"),
        processing_class=load_tokenizer(values["base"], values["revision"], template_date=recipe.template_date),
        peft_config=_build_lora(recipe),
        callbacks=[progress.build_callback()],
    )
    trainer.remove_callback(PrinterCallback)
    guard.watch(trainer)
    if recipe.shards and not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        raise DeepicdError(
            "The recipe shards weights over devices, and accelerate does not.",
            "Enable FSDP or DeepSpeed in the file of --accelerate-config, or use --set sharding=none.",
        )
    if recipe.packing:
        check_rows_stay_apart(trainer)
    last = find_last_checkpoint(checkpoints)
    if trainer.args.device.type == "cpu" and trainer.args.world_size > 1:
        _load_optimizer_on_numbered_cpu()
    before = _measure_loss_once(trainer, checkpoints)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    after = _measure_loss(trainer)
    trainer.save_model(str(job / "weights"))
    if trainer.is_world_process_zero():
        history = [line for line in trainer.state.log_history if "loss" in line]
        storage.write_json(job / "outcome.json", {
            "steps": trainer.state.global_step,
            "losses": [{"step": line["step"], "loss": round(line["loss"], 5)} for line in history],
            "validation_loss": {"before": before, "after": after},
            "skipped_updates": len(guard.skipped),
        "skipped": [update.dump() for update in guard.skipped[:100]],
            "training_seconds": round(progress.seconds, 2),
            "tokens_per_second": progress.tokens_per_second,
            "resumed_at": parse_step(last) if last else None,
            "device": trainer.args.device.type,
            "devices": trainer.args.world_size,
        })  # fmt: skip


def _load_optimizer_on_numbered_cpu() -> None:
    """Let torch.load put an optimizer on 'cpu:0', as transformers asks of it where several processes resume on CPUs."""
    import torch

    torch.serialization.register_package(
        5, lambda _: None, lambda storage, place: storage if place.startswith("cpu:") else None
    )


def _measure_loss_once(trainer: "SFTTrainer", checkpoints: Path) -> float | None:
    """Return the loss that the first start measured: a later one would measure the weights of a checkpoint."""
    path = checkpoints / "before.json"
    if not path.is_file():
        storage.write_json(path, _measure_loss(trainer))
    before: float | None = storage.read_json(path)
    return before


def _measure_loss(trainer: "SFTTrainer") -> float | None:
    """Return the loss on the validation rows; None without any."""
    return round(float(trainer.evaluate()["eval_loss"]), 5) if trainer.eval_dataset is not None else None


def _build_arguments(recipe: SftRecipe, values: Job) -> "SFTConfig":
    import torch
    from trl import SFTConfig

    on_cpu = not torch.cuda.is_available()
    return SFTConfig(
        output_dir=values["checkpoints"],
        model_init_kwargs={
            "revision": values["revision"],
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
        dataloader_num_workers=0 if on_cpu else 2,  # so that a GPU does not wait for rows
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup_steps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        max_length=recipe.max_length,
        packing=recipe.packing,
        eval_packing=False,
        # rows are tokenized already, and all are short enough
        dataset_kwargs={"skip_prepare_dataset": not recipe.packing},
        gradient_checkpointing=recipe.gradient_checkpointing,
        save_strategy="steps" if recipe.save_steps else "no",
        save_steps=recipe.save_steps or 500,
        save_total_limit=recipe.keep_checkpoints or None,
        logging_nan_inf_filter=False,  # a NaN loss is not a NaN gradient, and the log tells
        pad_to_multiple_of=recipe.pad_to_multiple_of or None,
        logging_steps=max(1, values["steps"] // 200),
        include_num_input_tokens_seen="non_padding",
        disable_tqdm=True,  # train.trainer_hooks shows progress
        report_to="none",
    )


def _build_lora(recipe: SftRecipe) -> "LoraConfig | None":
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
