"""Supervised fine-tuning with TRL: the model learns to write the trace and its diagnosis, given the admission note.

One step: 32 rows in 4 devices × 2 rows × 4 backward passes (DeepICD-R1). The loss covers the answer alone: every token
of the prompt has the label −100. Rows are tokenized here, as generation will read them (see train.base_model), and
TRL's SFTTrainer does the rest. A run that was killed resumes from its last complete checkpoint.

Run: deepicd train sft --dataset out/dataset --recipe sft-7b out/sft-7b
"""

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from deepicd import records, storage
from deepicd.engines.chat_template import ChatTemplate
from deepicd.engines.tokenizer import Tokenizer
from deepicd.errors import DeepicdError
from deepicd.stage_records import SftCounts, SftRecord
from deepicd.storage import Origin
from train import base_model, launch
from train.base_model import Messages, PretrainedModel, keep_diagnosis, opens_think_once
from train.config import SftRecipe
from train.data import DatasetConfig, LengthSummary, open_dataset
from train.run_folder import open_training_folder
from train.sft import worker
from train.sft.packing import count_sequences
from train.sft.worker import Job

if TYPE_CHECKING:
    import pyarrow as pa

IGNORED = -100  # label of a token that the loss leaves out
LAYOUT = ("devices", "per_device", "sharding", "gradient_checkpointing")
"""Options that change where a step is computed and not what: a run may be resumed with others."""
PREVIEW_TOKENS = 6  # on both sides of the boundary between prompt and answer


class SftRow(TypedDict):
    """What is read of a row of the dataset's config `sft`."""

    prompt: Messages
    completion: Messages


@dataclass(frozen=True, slots=True)
class TokenizedRow:
    """A row as the trainer reads it."""

    ids: "array[int]"  # of prompt and answer; four bytes each
    prompt_length: int

    @property
    def labels(self) -> list[int]:
        return [IGNORED] * self.prompt_length + self.ids[self.prompt_length :].tolist()

    @property
    def trained_tokens(self) -> int:
        """Tokens that the loss covers."""
        return len(self.ids) - self.prompt_length


@dataclass(frozen=True)
class SftSetup:
    """What a run needs, checked before any weight is loaded."""

    recipe: SftRecipe
    dataset: DatasetConfig
    base: PretrainedModel
    train: list[TokenizedRow]
    validation: list[TokenizedRow]
    lengths: Mapping[str, LengthSummary]  # split → lengths before anything was dropped

    @cached_property
    def sequences(self) -> int:
        """What a batch counts: rows, or what packing makes of them."""
        lengths = [len(row.ids) for row in self.train]
        return count_sequences(lengths, self.recipe.max_length) if self.recipe.packing else len(lengths)

    @property
    def steps(self) -> int:
        """Updates of the weights."""
        steps_per_epoch = -(-self.sequences // self.recipe.effective_batch)
        return self.recipe.max_steps or max(1, int(steps_per_epoch * self.recipe.epochs))

    @property
    def trained_tokens(self) -> int:
        return sum(row.trained_tokens for row in self.train)

    @property
    def plan(self) -> records.Plan[SftRecord]:
        """The plan of the run: recipe, dataset and model decide it."""
        inputs = {"dataset": self.dataset.config_folder} | self.base.inputs
        return records.plan_run(SftRecord, options=self.recipe.options | self.base.options, inputs=inputs)

    def __str__(self) -> str:
        recipe = self.recipe
        method = f"LoRA of rank {recipe.lora_rank}" if recipe.lora_rank else "all weights"
        unit = "sequences" if recipe.packing else "rows"
        lines = [f"{name}: {lengths}" for name, lengths in self.lengths.items()]
        if recipe.packing:
            lines.append(f"packed: {len(self.train):,} rows in {self.sequences:,} sequences of {recipe.max_length:,}")
        lines += [
            f"{method} of {recipe.model} on {recipe.target}, {self.steps:,} steps of {recipe.effective_batch} {unit} ="
            f" {recipe.devices} devices × {recipe.per_device} {unit} × {recipe.accumulation} backward passes",
            f"loss on {self.trained_tokens:,} of {self.lengths['train'].tokens:,} tokens",
        ]
        return "\n".join(lines)


def prepare_sft(
    dataset: str, recipe: SftRecipe, *, config: Literal["sft", "multi"] = "sft", with_hardware: bool = True
) -> SftSetup:
    """Check and tokenize everything. Raises DeepicdError for what would fail later or train on the wrong tokens."""
    launch.check_installed("torch", "transformers", "trl", *(["peft"] if recipe.lora_rank else []))
    if with_hardware:
        base_model.check_hardware(recipe)
    rows = open_dataset(dataset, config)
    base = base_model.find_base_model(recipe)
    if recipe.target == "outcome" and base.chat.opening:
        raise DeepicdError(
            f"The chat template of {recipe.model} opens every answer with <think>: it cannot give the outcome alone.",
            "Use a model whose template does not, such as Qwen/Qwen2.5-7B-Instruct, for this ablation.",
        )
    tokenized = {
        "train": [tokenize_row(base.chat, row, recipe.target) for row in _read_answered(rows, "train")],
        "validation": [
            tokenize_row(base.chat, row, recipe.target)
            for row in islice(_read_answered(rows, "validation"), recipe.eval_rows)
        ],
    }
    lengths = {
        split: LengthSummary.from_lengths([len(row.ids) for row in split_rows], recipe.max_length)
        for split, split_rows in tokenized.items()
    }
    _check_lengths(recipe, lengths["train"])
    kept = {
        split: [row for row in split_rows if len(row.ids) <= recipe.max_length]
        for split, split_rows in tokenized.items()
    }
    setup = SftSetup(recipe, rows, base, kept["train"], kept["validation"], lengths)
    if recipe.packing and setup.sequences < recipe.effective_batch:
        raise DeepicdError(
            f"Packing makes {setup.sequences:,} sequences of {recipe.max_length:,} tokens, which do not fill a batch of"
            f" {recipe.effective_batch}.",
            "Lower effective_batch (it counts sequences) or max_length, or train on more rows.",
        )
    return setup


def _read_answered(dataset: DatasetConfig, split: str) -> Iterator[SftRow]:
    """Yield the rows with an answer: in the config multi, those with a kept trace."""
    return (row for row in dataset.read_rows(split) if row["completion"])


def _check_lengths(recipe: SftRecipe, lengths: LengthSummary) -> None:
    if lengths.over and recipe.too_long == "refuse":
        raise DeepicdError(
            f"{lengths.over:,} of {lengths.rows:,} rows are over {recipe.max_length:,} tokens; the longest has"
            f" {lengths.longest:,}.",
            "Raise max_length, or drop them: --set too_long=drop",
        )
    if not recipe.packing and lengths.kept < recipe.effective_batch:
        raise DeepicdError(
            f"{lengths.kept:,} rows of at most {recipe.max_length:,} tokens do not fill a batch of"
            f" {recipe.effective_batch}.",
            "Raise max_length, lower effective_batch, or train on more rows.",
        )


def tokenize_row(chat: ChatTemplate, row: SftRow, target: str) -> TokenizedRow:
    """Return a row of the config `sft` as the trainer reads it. Raises DeepicdError if it is not well-formed."""
    [completion] = row["completion"]
    text = completion["content"] if target == "trace" else keep_diagnosis(completion["content"])
    prompt, answer = chat.render_prompt(row["prompt"]), chat.render_answer(text)
    if target == "trace" and not opens_think_once(prompt, answer):
        raise DeepicdError(
            "With the model's chat template an answer does not open exactly one think block.",
            "See its tokens: deepicd train sft --preview 1. The dataset's completions must start with <think>.",
        )
    prompt_ids = chat.encode(prompt)
    return TokenizedRow(array("i", prompt_ids + chat.encode(answer)), len(prompt_ids))


def train(
    dataset: str,
    recipe: SftRecipe,
    out: Path,
    *,
    config: Literal["sft", "multi"] = "sft",
    accelerate: Path | None = None,
    overwrite: bool = False,
) -> SftRecord:
    """Fine-tune a model into OUT/model. Does nothing if OUT holds this run already."""
    setup = prepare_sft(dataset, recipe, config=config)
    plan = setup.plan
    if not overwrite and (finished := records.find_finished(out, plan)):
        return finished
    with open_training_folder(out, plan, setup.dataset.origin, overwrite=overwrite, free=LAYOUT) as folder:
        job = folder.run.folder / ".job"
        _write_job(setup, job, folder.checkpoints)
        launch.run_workers(worker.__name__, job, devices=recipe.devices, sharding=recipe.sharding, config=accelerate)
        base_model.export_model(setup.base, recipe, job / "weights", folder.model)
        folder.run.counts = SftCounts(
            rows={split: lengths.kept for split, lengths in setup.lengths.items()},
            left_out={"too long": {split: lengths.over for split, lengths in setup.lengths.items()}},
            lengths=dict(setup.lengths),
            sequences=setup.sequences,
            trained_tokens=setup.trained_tokens,
            **storage.read_json(job / "outcome.json"),
        )
        folder.run.notes += setup.base.chat.describe(recipe.template_date)
        storage.remove(job)
    return folder.run.record


def _write_job(setup: SftSetup, job: Path, checkpoints: Path) -> None:
    """Write everything that the workers read."""
    import pyarrow as pa

    schema = pa.schema([("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int32()))])
    for split, rows in (("train", setup.train), ("validation", setup.validation)):
        if rows:
            plain = ({"input_ids": row.ids.tolist(), "labels": row.labels} for row in rows)
            _write_rows(job / f"{split}.parquet", plain, schema, setup.dataset.origin)
    values: Job = {
        "recipe": setup.recipe.options,
        "base": setup.base.path,
        "revision": setup.base.revision,
        "checkpoints": str(checkpoints),
        "steps": setup.steps,
    }
    storage.write_json(job / "job.json", values)


def _write_rows(path: Path, rows: Iterator[dict[str, list[int]]], schema: "pa.Schema", origin: Origin) -> None:
    """Write a thousand rows at a time: as Python's numbers they take ten times the memory of arrays."""
    import pyarrow as pa

    with storage.open_parquet_writer(path, schema, origin) as writer:
        while batch := list(islice(rows, 1000)):
            writer.write_table(pa.Table.from_pylist(batch, schema).replace_schema_metadata(writer.schema.metadata))


def preview(setup: SftSetup, number: int) -> str:
    """Return the first rows as text and tokens: ‹ › enclose what is trained on, a table shows the boundary's tokens."""
    return "\n\n".join(_preview_row(setup, place, row) for place, row in enumerate(setup.train[:number], start=1))


def _preview_row(setup: SftSetup, number: int, row: TokenizedRow) -> str:
    tokenizer = setup.base.chat.tokenizer
    ids, labels = row.ids.tolist(), row.labels
    prompt, answer = tokenizer.decode(ids[: row.prompt_length]), tokenizer.decode(ids[row.prompt_length :])
    lines = [
        f"Row {number}: {len(ids):,} tokens, {row.trained_tokens:,} of them trained on (between ‹ and ›)",
        f"{prompt}‹{answer}›",
        "",
        "  place      id   label  token",
    ]
    first = max(0, row.prompt_length - PREVIEW_TOKENS)
    places = range(first, min(len(ids), row.prompt_length + PREVIEW_TOKENS))
    lines += [_preview_token(place, ids, labels, tokenizer) for place in places]
    lines += ["      …", _preview_token(len(ids) - 1, ids, labels, tokenizer)]
    return "\n".join(lines)


def _preview_token(place: int, ids: list[int], labels: list[int], tokenizer: Tokenizer) -> str:
    return f"{place:>7,} {ids[place]:>7} {labels[place]:>7}  {tokenizer.decode([ids[place]])!r}"
