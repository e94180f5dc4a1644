"""What a GRPO run needs, checked before any weight is loaded: recipe, dataset, model, and how long the prompts are."""

from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal, Required, TypedDict

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.stage_records import GrpoRecord, SkippedUpdate
from train import base_model, launch
from train.base_model import PretrainedModel
from train.config import GrpoRecipe
from train.data import DatasetConfig, LengthSummary, open_dataset
from train.rewards.points import find_points

Config = Literal["grpo", "multi"]


class FitOutcome(TypedDict, total=False):
    """What the record says about the training itself; verl leaves out what only TRL knows."""

    skipped_updates: int
    skipped: list[SkippedUpdate]
    training_seconds: Required[float]
    resumed_at: Required[int | None]
    device: Required[str]
    devices: Required[int]
    judge_missed: dict[str, int]
    points_missed: dict[str, int]


@dataclass(frozen=True)
class GrpoSetup:
    recipe: GrpoRecipe
    dataset: DatasetConfig
    base: PretrainedModel
    prompts: LengthSummary
    kept_rows: list[int]
    """Indices of the prompts that are short enough."""

    @property
    def steps(self) -> int:
        """Rounds of answers; a last batch that is not full is left out, as verl does."""
        return self.recipe.max_steps or max(1, int(self.prompts.kept // self.recipe.batch * self.recipe.epochs))

    @property
    def updates(self) -> int:
        """Updates of the weights: several per step if mini-batches are smaller than batches."""
        return self.steps * self.recipe.batch // self.recipe.mini_batch

    @property
    def epochs(self) -> int:
        """Passes over the prompts, the last one possibly incomplete."""
        return ceil(self.steps / max(1, self.prompts.kept // self.recipe.batch))

    @property
    def plan(self) -> records.Plan[GrpoRecord]:
        """The plan of the run: recipe, dataset and model decide it, and the outcomes or points that rewards read."""
        inputs = {"dataset": self.dataset.config_folder} | self.base.inputs
        if self.recipe.borne_out_weight:
            inputs["borne_out_cohort"] = storage.expand_home(self.recipe.borne_out_cohort)
        if self.recipe.points_weight:
            inputs["points_verified"] = find_points(Path(self.recipe.points_verified))
        return records.plan_run(GrpoRecord, options=self.recipe.options | self.base.options, inputs=inputs)

    def __str__(self) -> str:
        recipe = self.recipe
        weights = ", ".join(f"{name} × {weight:g}" for name, weight in recipe.weights.items() if weight)
        lines = [
            f"prompts: {self.prompts}",
            f"{self.steps:,} steps of {recipe.batch} prompts × {recipe.rollouts} answers, up to {recipe.max_response:,}"
            f" tokens each, by {recipe.backend} from {recipe.model}",
            f"rewards ({recipe.reward}): {weights}",
        ]
        return "\n".join(lines)


def check_judge(recipe: GrpoRecipe) -> None:
    """Raise DeepicdError for a judge that would be shown nothing of the codes that it judges."""
    if missing := [name for name in ("judge_guidelines", "judge_descriptions") if not recipe.judge.get(name[6:], True)]:
        raise DeepicdError(
            f"{recipe.name} pays for a judge's score, and the judge would be shown nothing of the codes: the recipe has"
            f" no {' and no '.join(missing)}.",
            "Name the output of `deepicd guidelines` and `deepicd scrape`: --set judge_guidelines=out/guidelines/fy2025"
            " --set judge_descriptions=out/descriptions/descriptions.parquet; or leave the judge out: --set"
            " judge_weight=0",
        )


def check_config(recipe: GrpoRecipe, config: Config) -> None:
    """Raise DeepicdError where the rewards score another kind of answer than the prompts ask for."""
    if (recipe.reward == "several") != (config == "multi"):
        raise DeepicdError(
            f"{recipe.name} has reward: {recipe.reward}, and the prompts are those of the config {config}.",
            "The config multi asks for several diagnoses, which `several` alone rewards: --config multi --set"
            " reward=several, or neither.",
        )


def prepare_grpo(dataset: str, recipe: GrpoRecipe, *, config: Config = "grpo", with_hardware: bool = True) -> GrpoSetup:
    """Check everything, and count the prompts that are too long. Raises DeepicdError for what would fail later."""
    check_config(recipe, config)
    check_judge(recipe)
    launch.check_installed("torch", "transformers", recipe.backend, *(["vllm"] if recipe.rollout == "vllm" else []))
    if with_hardware:
        base_model.check_hardware(recipe)
    rows = open_dataset(dataset, config)
    base = base_model.find_base_model(recipe)
    if recipe.backend == "verl" and base.chat.merges_system:
        raise DeepicdError(
            f"The chat template of {recipe.model} has no system turn, and verl renders chats as the dataset has them.",
            "Use --backend trl, or a model whose template has a system turn.",
        )
    lengths = [len(base.chat.encode(base.chat.render_prompt(prompt))) for prompt in rows.read_rows("train")["prompt"]]
    prompts = LengthSummary.from_lengths(lengths, recipe.max_prompt)
    if prompts.kept < recipe.batch:
        raise DeepicdError(
            f"{prompts.kept:,} prompts of at most {recipe.max_prompt:,} tokens do not fill a batch of {recipe.batch}.",
            "Raise max_prompt, lower batch, or train on more rows.",
        )
    kept_rows = [index for index, length in enumerate(lengths) if length <= recipe.max_prompt]
    return GrpoSetup(recipe, rows, base, prompts, kept_rows)
