"""Supervised fine-tuning with TRL: the model learns to write the trace and its diagnosis, given the admission note.

One step: 32 rows in 4 devices × 2 rows × 4 backward passes (DeepICD-R1). The loss is taken on the answer alone: every
token of the prompt has the label −100. Rows are put into tokens here, as generation will read them (see chat.py), and
TRL's SFTTrainer does the rest. Killed at any moment, the same command goes on from the last whole checkpoint.

Run: deepicd train sft --dataset out/dataset --recipe sft-7b out/sft-7b
"""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.stage_records import SftCounts, SftRecord
from deepicd.storage import Origin
from train import base_model, launch
from train.base_model import PretrainedModel
from train.chat_template import ChatTemplate, keep_diagnosis, opens_think_once
from train.config import SftRecipe
from train.data import DatasetConfig, open_dataset
from train.run_folder import open_training_folder
from train.token_lengths import LengthSummary

IGNORED = -100  # label of a token that no loss is taken of


@dataclass(frozen=True, slots=True)
class TokenizedRow:
    """A row as the trainer reads it."""

    ids: "array[int]"  # of prompt and answer; four bytes each
    asked: int  # how many of them are the prompt's

    @property
    def labels(self) -> list[int]:
        return [IGNORED] * self.asked + self.ids[self.asked :].tolist()

    @property
    def trained(self) -> int:
        """Tokens that a loss is taken of."""
        return len(self.ids) - self.asked


@dataclass(frozen=True)
class SftSetup:
    """What a run needs, looked at before any weight is loaded."""

    recipe: SftRecipe
    corpus: DatasetConfig
    base: PretrainedModel
    train: list[TokenizedRow]
    validation: list[TokenizedRow]
    lengths: Mapping[str, LengthSummary]  # split → its length plan, before anything was dropped

    @property
    def steps(self) -> int:
        """Updates of the weights; packing makes fewer of them."""
        by_epoch = -(-len(self.train) // self.recipe.effective_batch)
        return self.recipe.max_steps or max(1, int(by_epoch * self.recipe.epochs))

    @property
    def plan(self) -> records.Plan[SftRecord]:
        """Of the run: recipe, dataset and model decide it."""
        inputs = {"dataset": self.corpus.part} | ({"model": self.base.folder} if self.base.folder else {})
        options = self.recipe.options | self.base.named
        return records.plan_run(SftRecord, options=options, inputs=inputs)

    def __str__(self) -> str:
        recipe = self.recipe
        how = f"LoRA of rank {recipe.lora_rank}" if recipe.lora_rank else "all weights"
        lines = [f"{name}: {lengths}" for name, lengths in self.lengths.items()]
        lines += [
            f"{how} of {recipe.model} on {recipe.target}, {self.steps:,} steps of {recipe.effective_batch} rows ="
            f" {recipe.devices} devices × {recipe.per_device} rows × {recipe.accumulation} times",
            f"loss on {sum(row.trained for row in self.train):,} of {self.lengths['train'].tokens:,} tokens",
        ]
        return "\n".join(lines)


def prepare_sft(dataset: str, recipe: SftRecipe, *, hardware: bool = True) -> SftSetup:
    """Check and tokenize everything. Raises DeepicdError for what would fail later, or silently train on the wrong."""
    launch.check_installed("torch", "transformers", "trl", *(["peft"] if recipe.lora_rank else []))
    if hardware:
        base_model.check_hardware(recipe)
    found = open_dataset(dataset, "sft")
    base = base_model.find_base_model(recipe)
    if recipe.target == "outcome" and base.chat.opening:
        raise DeepicdError(
            f"The chat template of {recipe.model} opens every answer with <think>: it cannot give the outcome alone.",
            "Take a model without that for the ablation, such as Qwen/Qwen2.5-7B-Instruct.",
        )
    splits, lengths = {}, {}
    for split in ("train", "validation"):
        rows = found.rows(split)
        if split == "validation":
            rows = rows.select(range(min(recipe.eval_rows, len(rows))))
        found_tokens = [tokenize_row(base.chat, row, recipe.target) for row in rows]
        lengths[split] = LengthSummary.of([len(row.ids) for row in found_tokens], recipe.max_length)
        splits[split] = [row for row in found_tokens if len(row.ids) <= recipe.max_length]
    plan = lengths["train"]
    if plan.over and recipe.too_long == "refuse":
        raise DeepicdError(
            f"{plan.over:,} of {plan.rows:,} rows are over {recipe.max_length:,} tokens; the longest has"
            f" {plan.longest:,}.",
            "Raise max_length, or drop them: --set too_long=drop",
        )
    if plan.kept < recipe.effective_batch:
        raise DeepicdError(
            f"{plan.kept:,} rows of at most {recipe.max_length:,} tokens make no batch of {recipe.effective_batch}.",
            "Raise max_length, lower effective_batch, or train on more rows.",
        )
    return SftSetup(recipe, found, base, splits["train"], splits["validation"], lengths)


def tokenize_row(chat: ChatTemplate, row: Mapping[str, Any], target: str) -> TokenizedRow:
    """A row of the config `sft` as the trainer reads it. Raises DeepicdError where its form is not the one expected."""
    [completion] = row["completion"]
    written = completion["content"] if target == "trace" else keep_diagnosis(completion["content"])
    prompt, answer = chat.prompt(row["prompt"]), chat.answer(written)
    if target == "trace" and not opens_think_once(prompt, answer):
        raise DeepicdError(
            "With the model's chat template an answer does not open exactly one think block.",
            "Look at it: deepicd train sft --preview 1. The dataset's completions must start with <think>.",
        )
    asked, wanted = chat.ids(prompt), chat.ids(answer)
    return TokenizedRow(array("i", asked + wanted), len(asked))


def train(
    dataset: str, recipe: SftRecipe, out: Path, *, accelerate: Path | None = None, overwrite: bool = False
) -> SftRecord:
    """Fine-tune a model into OUT/model. Does nothing where OUT holds this very run."""
    ready = prepare_sft(dataset, recipe)
    plan = ready.plan
    if not overwrite and (done := records.find_finished(out, plan)):
        return done
    with open_training_folder(out, plan, ready.corpus.origin, overwrite=overwrite) as shop:
        job = shop.run.folder / ".job"
        _write_job(ready, job, shop.checkpoints)
        launch.run_workers("train.sft.worker", job, recipe.devices, recipe.sharding, accelerate)
        base_model.export_model(ready.base, recipe, job / "weights", shop.model)
        shop.run.counts = SftCounts.model_validate(
            {
                "rows": {split: lengths.kept for split, lengths in ready.lengths.items()},
                "left_out": {"too long": {split: lengths.over for split, lengths in ready.lengths.items()}},
                "lengths": {split: lengths.record for split, lengths in ready.lengths.items()},
                "trained_tokens": sum(row.trained for row in ready.train),
                **storage.read_json(job / "told.json"),
            }
        )
        storage.remove(job)
    return shop.run.record


def _write_job(ready: SftSetup, job: Path, checkpoints: Path) -> None:
    """All that the workers read."""
    import pyarrow as pa

    schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])
    for split, rows in (("train", ready.train), ("validation", ready.validation)):
        if rows:
            plain = ({"input_ids": row.ids.tolist(), "labels": row.labels} for row in rows)
            _write(job / f"{split}.parquet", plain, schema, ready.corpus.origin)
    asked = {
        "recipe": ready.recipe.options,
        "base": ready.base.path,
        "revision": ready.base.revision,
        "checkpoints": str(checkpoints),
    }
    storage.write_json(job / "job.json", asked)


def _write(path: Path, rows: Iterator[dict[str, list[int]]], schema: Any, origin: Origin) -> None:
    """A thousand rows at a time: a list of Python's numbers takes ten times a row's tokens."""
    import pyarrow as pa

    with storage.open_parquet_writer(path, schema, origin) as writer:
        while some := list(islice(rows, 1000)):
            writer.write_table(pa.Table.from_pylist(some, schema).replace_schema_metadata(writer.schema.metadata))
