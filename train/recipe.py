"""Recipes of trainings, read from YAML and checked before anything starts.

    recipe = sft(Path("sft-7b"), learning_rate=1e-5)     # one of train/recipes, or a YAML file
    recipe.accumulation                                   # 8: an effective batch of 32 from 4 devices × 1 row

What a device does at once must divide the batch sizes, or the recipe is refused. A file may build on another:
`like: grpo-7b`.
"""

from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any

from deepicd.engines.recipe import parse_recipe, read_recipe
from deepicd.errors import DeepicdError
from train.config import BOUNDS, GrpoRecipe, SftRecipe

CHECKED_IN = Path(__file__).parent / "recipes"


def load_sft_recipe(path: Path, **changes: Any) -> SftRecipe:
    """The recipe of a file or of ours, with some fields changed; None leaves one as it is. Raises DeepicdError."""
    recipe: SftRecipe = _read(SftRecipe, path, changes)
    _divides(recipe.name, recipe.effective_batch, "effective_batch", recipe.per_device * recipe.devices,
             f"per_device {recipe.per_device} × devices {recipe.devices}")  # fmt: skip
    return recipe


def load_grpo_recipe(path: Path, **changes: Any) -> GrpoRecipe:
    """Likewise."""
    recipe: GrpoRecipe = _read(GrpoRecipe, path, changes)
    if recipe.rollouts < 2:
        raise DeepicdError(
            f"{recipe.name}: rollouts is {recipe.rollouts}.", "GRPO compares answers to one prompt: 2 or more."
        )
    _divides(recipe.name, recipe.batch, "batch", recipe.mini_batch, f"mini_batch {recipe.mini_batch}")
    _divides(recipe.name, recipe.world, "devices × nodes", recipe.tensor_parallel,
             f"tensor_parallel {recipe.tensor_parallel}")  # fmt: skip
    at_once = recipe.world * recipe.micro_batch
    _divides(recipe.name, recipe.mini_batch * recipe.rollouts, "mini_batch × rollouts", at_once,
             f"devices {recipe.devices} × nodes {recipe.nodes} × micro_batch {recipe.micro_batch}")  # fmt: skip
    recipe.scheme("")
    if recipe.judge_weight and not (recipe.judge_url and recipe.judge_model):
        raise DeepicdError(
            f"{recipe.name} pays for a judge's score and names no judge.",
            "Set judge_url and judge_model, or judge_weight: 0.",
        )
    if recipe.backend == "verl" and recipe.rollout != "vllm":
        raise DeepicdError(
            f"{recipe.name}: verl writes answers with vLLM, not with {recipe.rollout}.", "Use --backend trl, or vllm."
        )
    if recipe.backend == "trl" and recipe.world > 1:
        raise DeepicdError(
            f"{recipe.name}: the backend trl trains on one device here, the recipe has {recipe.world}.",
            "Use --backend verl, or --set devices=1 --set nodes=1 --set gpu_memory=0.3.",
        )
    return recipe


def read_values(path: Path, builders: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a recipe's file says, with what it builds on (`like`) below it. Raises DeepicdError."""
    said, source = read_recipe(path, CHECKED_IN)
    like = said.pop("like", None)
    if like is None:
        return said
    if like in builders:
        raise DeepicdError(f"{source} builds on itself, by way of {like}.", "Let one of them name its fields itself.")
    return read_values(Path(str(like)), (*builders, str(like))) | said


def _read(kind: type[Any], path: Path, changes: dict[str, Any]) -> Any:
    known = {field.name: field for field in fields(kind)}
    said = _numbers(read_values(path), known)
    missing = [name for name, field in known.items() if field.default is MISSING and name not in said]
    if missing:
        raise DeepicdError(f"{path}: {' and '.join(missing)} missing.", "Every recipe says that.")
    recipe = parse_recipe(kind, said, str(path), BOUNDS)
    given = {name: value for name, value in changes.items() if value is not None}
    return (
        parse_recipe(kind, {**asdict(recipe), **_numbers(given, known)}, "the options given", BOUNDS)
        if given
        else recipe
    )


def _numbers(given: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """YAML takes 2e-5, unlike 2.0e-5, for a text; here it is a number."""

    def number(name: str, value: Any) -> Any:
        try:
            return float(value) if isinstance(value, str) and name in known and known[name].type is float else value
        except ValueError:
            return value

    return {name: number(name, value) for name, value in given.items()}


def _divides(name: str, whole: int, what: str, part: int, parts: str) -> None:
    if whole % part:
        near = part * max(1, round(whole / part))
        raise DeepicdError(
            f"{name}: {what} {whole} is no multiple of {part} ({parts}).",
            f"Take {near} for {what}, or other sizes that divide it.",
        )
