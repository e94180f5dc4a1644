"""Recipes of trainings: every setting that decides a result, read from YAML and checked before anything starts.

    recipe = load_sft_recipe(Path("sft-7b"), learning_rate=1e-5)     # one of train/recipes, or a YAML file
    recipe.accumulation                                              # 4: a batch of 32 from 4 devices × 2 rows

Defaults are those of DeepICD-R1 and of its authors' job files (deepicd.paper). Batch sizes are totals over all devices;
what a device processes at once must divide them. A file may build on another one: `like: grpo-7b`.
"""

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from deepicd import paper
from deepicd.config import Config, Count, Number, PositiveCount, Share, read_values
from deepicd.engines.recipe import TEMPLATE_DATE, TemplateDate
from deepicd.errors import DeepicdError
from train.rewards import score
from train.rewards.score import RewardScheme, SchemeVariant

CHECKED_IN = Path(__file__).parent / "recipes"
REWARD_PARTS = ("form", "outcome", "length", "repetition", "judge", "borne_out", "points")

Attention = Literal["sdpa", "eager", "flash_attention_2"]

Weight = Annotated[Number, Field(ge=0, le=1000)]
Epochs = Annotated[Number, Field(ge=0.0001, le=1000)]
LearningRate = Annotated[Number, Field(ge=1e-9, le=1)]


class TrainingRecipe(Config):
    """The settings that every training has."""

    LATER = frozenset(
        {"template_date", "pad_to_multiple_of", "borne_out_weight", "borne_out_cohort", "points_weight"}
        | {"points_verified"}
    )
    LENGTH_FIELDS: ClassVar[tuple[str, ...]]
    """The fields that together limit the tokens of a row."""

    name: str
    model: str  # a folder, or a name on the Hugging Face Hub

    revision: str = ""
    """Commit or tag of the model on the Hub; '' for the newest one, which changes over time."""
    hardware: Literal["gpu", "any"] = "gpu"
    """gpu: refused on a machine without one; any: for models that are small enough for a CPU."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    template_date: TemplateDate = TEMPLATE_DATE
    pad_to_multiple_of: Count = 0
    """TRL pads a batch to a multiple of this many tokens; 0 for its longest row. 128 avoids cuDNN's faulty lengths."""
    seed: int = paper.SEED

    @property
    def sequence_length(self) -> int:
        """Tokens that the model must be able to read."""
        return sum(getattr(self, name) for name in self.LENGTH_FIELDS)


class SftRecipe(TrainingRecipe):
    """A supervised fine-tuning with TRL."""

    LENGTH_FIELDS = ("max_length",)

    # What is learned
    target: Literal["trace", "outcome"] = "trace"
    """outcome: the diagnosis alone, without reasoning (DeepICD-R1, Table 4)."""
    max_length: PositiveCount = 4096  # tokens of prompt and completion
    too_long: Literal["drop", "refuse"] = "drop"
    """Rows over max_length are dropped and counted, or stop the run before it starts. They are never truncated."""

    # Optimization
    epochs: Epochs = paper.SFT_EPOCHS
    max_steps: Count = 0  # 0: as many as the epochs take
    effective_batch: PositiveCount = paper.SFT_BATCH  # rows per step, over all devices
    per_device: PositiveCount = 1  # rows per device and backward pass; accumulation makes up the rest
    devices: PositiveCount = 1
    sharding: Literal["none", "fsdp"] = "none"
    """fsdp: each device holds a part of the weights and the optimizer. For DeepSpeed use --accelerate-config."""
    learning_rate: LearningRate = paper.SFT_LEARNING_RATE
    warmup_steps: Count = paper.SFT_WARMUP_STEPS
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    weight_decay: Share = 0.0
    max_grad_norm: Weight = 1.0
    packing: bool = False
    """Put several rows into one sequence of max_length, and count batches in sequences. Rows do not see each other."""
    gradient_checkpointing: bool = True
    attention: Attention = "sdpa"

    # LoRA
    lora_rank: Annotated[int, Field(ge=0, le=4096)] = 0  # 0: train all weights
    lora_alpha: Annotated[int, Field(ge=1, le=10_000)] = 32
    lora_dropout: Share = 0.05

    # While it runs
    save_steps: Count = 200  # steps between two checkpoints; 0 for none
    keep_checkpoints: Count = 2
    eval_rows: Count = 1000  # of the validation split, for the loss before and after; 0 for none

    @property
    def accumulation(self) -> int:
        """Backward passes per device and step."""
        return self.effective_batch // (self.per_device * self.devices)

    @property
    def shards(self) -> bool:
        """Whether a device holds a part of the weights only."""
        return self.sharding == "fsdp" and self.devices > 1


class GrpoRecipe(TrainingRecipe):
    """Reinforcement learning with group-relative advantages (GRPO), with verl or TRL."""

    LENGTH_FIELDS = ("max_prompt", "max_response")
    FORMER: ClassVar = {"n": "rollouts"}

    backend: Literal["verl", "trl"] = "verl"
    rollout: Literal["vllm", "transformers"] = "vllm"  # what generates the answers; verl supports vllm alone

    # Batches
    batch: PositiveCount = paper.GRPO_BATCH  # prompts per step
    rollouts: PositiveCount = paper.GRPO_ROLLOUTS  # answers per prompt
    mini_batch: PositiveCount = paper.GRPO_MINI_BATCH  # prompts per update of the weights
    micro_batch: PositiveCount = paper.GRPO_MICRO_BATCH  # answers per GPU and backward pass
    devices: PositiveCount = paper.GRPO_DEVICES  # GPUs per node
    nodes: PositiveCount = 1
    tensor_parallel: PositiveCount = 1  # GPUs that share one copy of the model in generation
    gpu_memory: Share = 0.6  # share of a GPU's memory that vLLM may take
    offload: bool = False  # keep weights and optimizer in main memory while vLLM generates
    attention: Attention = "flash_attention_2"  # verl's default, which leaves padding out; sdpa needs no flash-attn
    gradient_checkpointing: bool = True

    # Sampling, the same in training and evaluation
    temperature: Annotated[Number, Field(ge=0.01, le=10)] = paper.TEMPERATURE
    top_p: Share = 1.0
    max_prompt: PositiveCount = paper.MAX_PROMPT_TOKENS  # tokens; longer prompts are left out and counted
    max_response: PositiveCount = paper.MAX_NEW_TOKENS

    # Optimization
    epochs: Epochs = paper.GRPO_EPOCHS
    max_steps: Count = 0  # 0: as many as the epochs take
    learning_rate: LearningRate = paper.GRPO_LEARNING_RATE
    warmup_steps: Count = paper.GRPO_WARMUP_STEPS
    weight_decay: Share = 0.01  # verl's default
    max_grad_norm: Weight = 1.0
    kl: Annotated[Number, Field(ge=0, le=10)] = paper.GRPO_KL  # off, as in DAPO
    entropy: Share = paper.GRPO_ENTROPY  # verl's default when they ran it

    # Rewards (train.rewards.score); a weight of 0 leaves a part out
    reward: SchemeVariant = "default"
    form_weight: Weight = 1.0
    outcome_weight: Weight = 1.0
    length_weight: Weight = 0.0
    repetition_weight: Weight = 0.0
    judge_weight: Weight = 0.0  # per point of 1 to 5; the authors' 0.8 goes with outcomes of up to 105
    judge_model: str = ""  # of another model family than the policy
    judge_url: str = ""  # its OpenAI-compatible server: 'http://127.0.0.1:8001/v1'
    judge_timeout: Annotated[Number, Field(ge=0.1, le=3600)] = 60.0
    judge_guidelines: str = ""  # folder of `deepicd guidelines`
    judge_descriptions: str = ""  # descriptions.parquet of `deepicd scrape`

    borne_out_weight: Weight = 0.0  # of a trace whose expectations the stay bears out, all of them
    borne_out_cohort: str = ""  # folder of `deepicd build` with the sealed outcomes of these notes
    points_weight: Weight = 0.0  # of a trace that meets all points of its stay and none of others; asks the judge
    points_verified: str = ""  # output of `deepicd verify` with the check `rubric`

    # Stop a hopeless run after `patience` steps in a row in which a share exceeds its limit; 1 for never
    stop_at_zero_variance: Share = 1.0  # groups whose answers all earn the same, which teach nothing
    stop_at_truncated: Share = 1.0  # answers that reached max_response
    stop_at_repeated: Share = 1.0  # words in sequences of six that occurred before
    patience: Count = 20  # steps

    # While it runs
    save_steps: Count = 50
    keep_checkpoints: Count = 2

    @property
    def answers(self) -> int:
        """Completions per step."""
        return self.batch * self.rollouts

    @property
    def gpus(self) -> int:
        """GPUs on all nodes."""
        return self.devices * self.nodes

    def build_scheme(self, opening: str) -> RewardScheme:
        """Return the reward scheme. `opening`: the start of an answer that the chat template writes."""
        return score.parse_scheme(self.reward, opening=opening, **self.weights)

    @property
    def weights(self) -> dict[str, float]:
        """Part of the reward → its weight."""
        return {name: getattr(self, f"{name}_weight") for name in REWARD_PARTS}

    @property
    def judge(self) -> dict[str, str | float]:
        """The fields of the judge's recipe (train.rewards.judge) that this one sets; empty without a judge."""
        if not self.judge_weight:
            return {}
        return self.judge_server | {"guidelines": self.judge_guidelines, "descriptions": self.judge_descriptions}

    @property
    def judge_server(self) -> dict[str, str | float]:
        """The fields of the judge's recipe that say which server to ask; points ask it too."""
        return {"model": self.judge_model, "base_url": self.judge_url, "timeout": self.judge_timeout}


Recipe = SftRecipe | GrpoRecipe


def load_sft_recipe(path: Path, **changes: object) -> SftRecipe:
    """Return the recipe in a YAML file, or a checked-in one by name, with changes. Raises DeepicdError."""
    recipe = SftRecipe.parse(read_inherited(path), str(path)).replace(**changes)
    _check_divides(recipe.name, "effective_batch", recipe.effective_batch, recipe.per_device * recipe.devices,
                   f"per_device {recipe.per_device} × devices {recipe.devices}")  # fmt: skip
    return recipe


def load_grpo_recipe(path: Path, **changes: object) -> GrpoRecipe:
    """Return a recipe as `load_sft_recipe` does."""
    recipe = GrpoRecipe.parse(read_inherited(path), str(path)).replace(**changes)
    name = recipe.name
    if recipe.rollouts < 2:
        raise DeepicdError(f"{name}: rollouts is {recipe.rollouts}.", "GRPO compares answers to one prompt: 2 or more.")
    _check_divides(name, "batch", recipe.batch, recipe.mini_batch, f"mini_batch {recipe.mini_batch}")
    _check_divides(name, "devices × nodes", recipe.gpus, recipe.tensor_parallel,
                   f"tensor_parallel {recipe.tensor_parallel}")  # fmt: skip
    _check_divides(name, "mini_batch × rollouts", recipe.mini_batch * recipe.rollouts,
                   recipe.gpus * recipe.micro_batch,
                   f"devices {recipe.devices} × nodes {recipe.nodes} × micro_batch {recipe.micro_batch}")  # fmt: skip
    recipe.build_scheme("")
    if recipe.judge_weight and not (recipe.judge_url and recipe.judge_model):
        what = f"{name} pays for a judge's score and names no judge."
        raise DeepicdError(what, "Set judge_url and judge_model, or judge_weight: 0.")
    if recipe.points_weight and not (recipe.judge_url and recipe.judge_model and recipe.points_verified):
        what = f"{name} pays for points of the stay and lacks the points or a judge to grade by them."
        advice = "Set points_verified to the output of `deepicd verify`, judge_url and judge_model; or no weight."
        raise DeepicdError(what, advice)
    if recipe.borne_out_weight and not recipe.borne_out_cohort:
        what = f"{name} pays for what the stay bears out and names no cohort with outcomes."
        raise DeepicdError(what, "Set borne_out_cohort to the output of `deepicd build`, or borne_out_weight: 0.")
    if recipe.backend == "verl" and recipe.rollout != "vllm":
        raise DeepicdError(
            f"{name}: verl writes answers with vLLM, not with {recipe.rollout}.", "Use --backend trl, or vllm."
        )
    if recipe.backend == "verl" and recipe.pad_to_multiple_of:
        raise DeepicdError(
            f"{name}: verl pads prompts to max_prompt and answers to max_response, not to a multiple.",
            "Leave out pad_to_multiple_of, and choose these two.",
        )
    if recipe.backend == "trl" and recipe.gpus > 1:
        raise DeepicdError(
            f"{name}: the backend trl trains on one device here, the recipe has {recipe.gpus}.",
            "Use --backend verl, or --set devices=1 --set nodes=1 --set gpu_memory=0.3.",
        )
    return recipe


def read_inherited(path: Path, children: tuple[str, ...] = ()) -> dict[str, object]:
    """Return the values of a recipe's file, on top of those of the file that it builds on (`like`)."""
    values, source = read_values(path, CHECKED_IN)
    like = values.pop("like", None)
    if like is None:
        return values
    if like in children:
        raise DeepicdError(f"{source} builds on itself, by way of {like}.", "Remove `like` from one of these files.")
    return read_inherited(Path(str(like)), (*children, str(like))) | values


def _check_divides(name: str, field: str, total: int, part: int, parts: str) -> None:
    if total % part:
        nearest = part * max(1, round(total / part))
        raise DeepicdError(
            f"{name}: {field} {total} is not a multiple of {part} ({parts}).",
            f"Set {field} to {nearest}, or use other sizes that divide it.",
        )
