"""GRPO: the model answers each prompt several times, and learns from which of its answers earn more than the others.

One step: 64 prompts × 8 answers (DeepICD-R1). verl does it on GPUs and nodes, TRL on one device; recipe, dataset,
rewards and guard rails are the same. Prompts over `max_prompt` tokens are counted before anything starts and left out.
The judge is asked whether it is there. Killed at any moment, the same command goes on from the last checkpoint.

Run: deepicd train grpo --dataset out/dataset --recipe grpo-7b --model out/sft-7b/model out/grpo-7b
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from math import ceil
from pathlib import Path
from typing import Any

from deepicd import records
from deepicd.errors import DeepicdError
from deepicd.stage_records import GrpoCounts, GrpoRecord
from train import base_model, launch
from train.base_model import PretrainedModel
from train.config import GrpoRecipe
from train.data import DatasetConfig, open_dataset
from train.grpo import monitor
from train.grpo.step_log import StepLog
from train.rewards.judge import open_judge
from train.run_folder import TrainingFolder, open_training_folder
from train.token_lengths import LengthSummary


@dataclass(frozen=True)
class GrpoSetup:
    """What a run needs, looked at before any weight is loaded."""

    recipe: GrpoRecipe
    corpus: DatasetConfig
    base: PretrainedModel
    prompts: LengthSummary
    fitting: list[int]
    """Places of the prompts that are not too long."""

    @property
    def steps(self) -> int:
        """Rounds of answers; a last batch that is not full is left out, as verl does."""
        return self.recipe.max_steps or max(1, int(self.prompts.kept // self.recipe.batch * self.recipe.epochs))

    @property
    def updates(self) -> int:
        """Of the weights: several a step where mini-batches are smaller than batches."""
        return self.steps * self.recipe.batch // self.recipe.mini_batch

    @property
    def epochs(self) -> int:
        """Passes over the prompts that this takes, the last one perhaps in part."""
        return ceil(self.steps / max(1, self.prompts.kept // self.recipe.batch))

    @property
    def plan(self) -> records.Plan[GrpoRecord]:
        inputs = {"dataset": self.corpus.part} | ({"model": self.base.folder} if self.base.folder else {})
        return records.plan_run(GrpoRecord, options=self.recipe.options | self.base.named, inputs=inputs)

    def __str__(self) -> str:
        recipe = self.recipe
        paid = {name: getattr(recipe, f"{name}_weight") for name in PARTS}
        lines = [
            f"prompts: {self.prompts}",
            f"{self.steps:,} steps of {recipe.batch} prompts × {recipe.rollouts} answers, up to {recipe.max_response:,}"
            f" tokens each, by {recipe.backend} from {recipe.model}",
            f"paid ({recipe.reward}): {', '.join(f'{name} × {weight:g}' for name, weight in paid.items() if weight)}",
        ]
        return "\n".join(lines)


PARTS = ("form", "outcome", "length", "repetition", "judge")


def prepare_grpo(dataset: str, recipe: GrpoRecipe, *, hardware: bool = True) -> GrpoSetup:
    """Check everything, and count what is too long. Raises DeepicdError for what would fail later."""
    launch.check_installed("torch", "transformers", recipe.backend, *(["vllm"] if recipe.rollout == "vllm" else []))
    if hardware:
        base_model.check_hardware(recipe)
    found = open_dataset(dataset, "grpo")
    base = base_model.find_base_model(recipe)
    texts = [base.chat.prompt(prompt) for prompt in found.rows("train")["prompt"]]
    tokens = [len(base.chat.ids(text)) for text in texts]
    lengths = LengthSummary.of(tokens, recipe.max_prompt)
    if lengths.kept < recipe.batch:
        raise DeepicdError(
            f"{lengths.kept:,} prompts of at most {recipe.max_prompt:,} tokens make no batch of {recipe.batch}.",
            "Raise max_prompt, lower batch, or train on more rows.",
        )
    fitting = [place for place, number in enumerate(tokens) if number <= recipe.max_prompt]
    return GrpoSetup(recipe, found, base, lengths, fitting)


def describe_plan(ready: GrpoSetup) -> str:
    """The plan, and verl's whole configuration for it, composed and checked by verl."""
    if ready.recipe.backend == "trl":
        return str(ready)
    from train.grpo.verl_config import compose_config

    return f"{ready}\n\n{compose_config(ready, Path('OUT').absolute())}"


def train(dataset: str, recipe: GrpoRecipe, out: Path, *, overwrite: bool = False) -> GrpoRecord:
    """Train a model into OUT/model. Does nothing where OUT holds this very run."""
    ready = prepare_grpo(dataset, recipe)
    plan = ready.plan
    if not overwrite and (done := records.find_finished(out, plan)):
        return done
    if recipe.judge_weight:
        asked = open_judge(recipe.judge, ready.corpus.origin)
        asked.check()
        asked.close()
    module = import_module("train.grpo.trl" if recipe.backend == "trl" else "train.grpo.verl")
    fit: Callable[[GrpoSetup, TrainingFolder[GrpoRecord]], dict[str, Any]] = module.fit
    with open_training_folder(out, plan, ready.corpus.origin, overwrite=overwrite) as shop:
        told = fit(ready, shop)
        reports = StepLog(shop.run.folder).reports()
        shop.run.counts = GrpoCounts.model_validate(
            {
                "rows": {"train": ready.prompts.kept},
                "left_out": {"prompt too long": ready.prompts.over},
                "lengths": {"train": ready.prompts.record},
                "steps": ready.steps,
                **monitor.summarize_run(reports),
                **told,
            }
        )
    return shop.run.record
