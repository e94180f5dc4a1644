"""GRPO: the model answers each prompt several times, and learns from which of its answers earn more than the others.

One step: 64 prompts × 8 answers (DeepICD-R1). verl runs it on GPUs and nodes, TRL on one device; recipe, dataset,
rewards and guard rails are the same. Prompts over `max_prompt` tokens are counted before anything starts and left out.
The judge's server is checked. A run that was killed resumes from its last checkpoint.

Run: deepicd train grpo --dataset out/dataset --recipe grpo-7b --model out/sft-7b/model out/grpo-7b
"""

from contextlib import closing
from pathlib import Path

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.stage_records import GrpoCounts, GrpoRecord
from train import base_model
from train.config import GrpoRecipe
from train.grpo import monitor, trl, verl, verl_config
from train.grpo.monitor import StepLog
from train.grpo.setup import Config, GrpoSetup, prepare_grpo
from train.rewards.borne_out import BorneOut
from train.rewards.judge import open_judge
from train.rewards.points import open_points
from train.run_folder import open_training_folder


def describe_plan(dataset: str, recipe: GrpoRecipe, *, config: Config = "grpo") -> str:
    """Return the plan, and with verl its whole configuration, composed and checked by verl; no GPU is needed."""
    setup = prepare_grpo(dataset, recipe, config=config, with_hardware=False)
    lines = [str(setup)]
    try:
        base_model.check_hardware(recipe)
    except DeepicdError as error:
        lines.append(f"not on this machine: {error.what}")
    if recipe.backend == "verl":
        lines += ["", verl_config.compose_config(setup, Path("OUT").absolute())]
    return "\n".join(lines)


def train(
    dataset: str, recipe: GrpoRecipe, out: Path, *, config: Config = "grpo", overwrite: bool = False
) -> GrpoRecord:
    """Train a model into OUT/model. Does nothing if OUT holds this run already."""
    setup = prepare_grpo(dataset, recipe, config=config)
    plan = setup.plan
    if not overwrite and (finished := records.find_finished(out, plan)):
        return finished
    if recipe.judge_weight:
        with closing(open_judge(recipe.judge, setup.dataset.origin)) as judge:
            judge.check()
    notes = check_points(setup) if recipe.points_weight else []
    if recipe.borne_out_weight:
        BorneOut(storage.expand_home(recipe.borne_out_cohort))  # fail now rather than after the model is loaded
    fit = trl.fit if recipe.backend == "trl" else verl.fit
    with open_training_folder(out, plan, setup.dataset.origin, overwrite=overwrite) as folder:
        outcome = fit(setup, folder)
        folder.run.counts = GrpoCounts(
            rows={"train": setup.prompts.kept},
            left_out={"prompt too long": setup.prompts.over},
            lengths={"train": setup.prompts},
            steps=setup.steps,
            **monitor.summarize_run(StepLog(folder.run.folder).read()),
            **outcome,
        )
        folder.run.notes += [*setup.base.chat.describe(recipe.template_date), *notes]
    return folder.run.record


def check_points(setup: GrpoSetup) -> list[str]:
    """Return how many prompts have points of their stay. Raises DeepicdError for none, and without a server."""
    recipe = setup.recipe
    with closing(open_points(recipe.judge_server, Path(recipe.points_verified), setup.dataset.origin)) as points:
        points.check()
        about = setup.dataset.read_rows("train").select(setup.kept_rows)["extra_info"]
        covered = sum(points.has_points(one["note_id"]) for one in about)
    if not covered:
        raise DeepicdError(
            f"No prompt is about a stay that {recipe.points_verified} has points of.",
            "Verify the traces that this dataset was assembled from: deepicd verify TRACES OUT --recipe verify",
        )
    return [f"{covered:,} of {len(setup.kept_rows):,} prompts are about a stay with points, which the reward pays for."]
