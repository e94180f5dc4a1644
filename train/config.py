"""What decides a training, field by field: `Sft` is supervised fine-tuning, `Grpo` reinforcement learning.

Values are those of DeepICD-R1 ("paper") and of its authors' job files ("authors") where these have them. Batch sizes
are given as they are thought of, all devices together. Recipes are read and checked by train.recipe.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from deepicd import paper
from deepicd.engines.recipe import Bounds
from train.rewards import score
from train.rewards.outcome import Variant
from train.rewards.score import RewardScheme

Hardware = Literal["gpu", "any"]
Dtype = Literal["bfloat16", "float32"]
Attention = Literal["sdpa", "eager", "flash_attention_2"]

_POSITIVE = ("devices", "nodes", "effective_batch", "per_device", "max_length", "batch", "rollouts", "mini_batch")
_COUNTS = ("max_steps", "warmup_steps", "save_steps", "lora_rank", "eval_rows", "patience")
_SHARES = ("lora_dropout", "top_p", "gpu_memory", "stop_at_zero_variance", "stop_at_truncated", "stop_at_repeated")

BOUNDS: Bounds = {
    **dict.fromkeys((*_POSITIVE, "max_prompt", "max_response", "micro_batch", "tensor_parallel"), (1, 10_000_000)),
    **dict.fromkeys((*_COUNTS, "keep_checkpoints"), (0, 10_000_000)),
    **dict.fromkeys(_SHARES, (0, 1)),
    "epochs": (0.0001, 1000),
    "learning_rate": (1e-9, 1),
    **dict.fromkeys(("form_weight", "outcome_weight", "length_weight", "repetition_weight", "judge_weight"), (0, 1000)),
    "temperature": (0.01, 10),
    "entropy": (0, 1),
    "kl": (0, 10),
    "max_grad_norm": (0, 1000),
    "lora_alpha": (1, 10_000),
    "lora_rank": (0, 4096),
    "weight_decay": (0, 1),
    "judge_timeout": (0.1, 3600),
}


@dataclass(frozen=True, slots=True)
class SftRecipe:
    """One supervised fine-tuning with TRL."""

    name: str
    model: str  # a folder, or a name on the Hugging Face Hub

    revision: str = ""
    """Commit or tag of the model on the Hub; '' for the newest, which another day is another one."""
    hardware: Hardware = "gpu"
    """gpu: refused where there is none; any: for models so small that a CPU will do."""
    dtype: Dtype = "bfloat16"
    seed: int = paper.SEED

    # What is learned
    target: Literal["trace", "outcome"] = "trace"
    """outcome: the diagnosis alone, no reasoning (DeepICD-R1, Table 4)."""
    max_length: int = 4096  # tokens of prompt and completion
    too_long: Literal["drop", "refuse"] = "drop"
    """Rows over max_length are dropped and counted, or stop the run before it starts. None is ever cut."""

    # Optimization
    epochs: float = paper.SFT_EPOCHS
    max_steps: int = 0  # 0: as many as the epochs take
    effective_batch: int = paper.SFT_BATCH  # rows a step, over all devices
    per_device: int = 1  # rows a device reads at once; accumulation makes up the rest
    devices: int = 1
    sharding: Literal["none", "fsdp"] = "none"
    """fsdp: each device holds a part of weights and optimizer. DeepSpeed: by --accelerate-config."""
    learning_rate: float = paper.SFT_LEARNING_RATE
    warmup_steps: int = paper.SFT_WARMUP_STEPS
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    packing: bool = False
    """Several rows in one sequence. Needs FlashAttention, or rows of one sequence see each other."""
    gradient_checkpointing: bool = True
    attention: Attention = "sdpa"

    # LoRA
    lora_rank: int = 0  # 0: all weights are trained
    lora_alpha: int = 32
    lora_dropout: float = 0.05

    # While it runs
    save_steps: int = 200  # a checkpoint every so many steps; 0 for none
    keep_checkpoints: int = 2
    eval_rows: int = 1000  # of the validation split, whose loss is taken before and after; 0 for none

    @property
    def accumulation(self) -> int:
        """Backward passes of a device for one step."""
        return self.effective_batch // (self.per_device * self.devices)

    @property
    def options(self) -> dict[str, Any]:
        """What a run's plan has of it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class GrpoRecipe:
    """One reinforcement learning with group-relative advantages, by verl or by TRL."""

    name: str
    model: str

    revision: str = ""
    hardware: Hardware = "gpu"
    dtype: Dtype = "bfloat16"
    seed: int = paper.SEED
    backend: Literal["verl", "trl"] = "verl"
    rollout: Literal["vllm", "transformers"] = "vllm"  # what writes the answers; verl knows vllm alone

    # Batches
    batch: int = paper.GRPO_BATCH  # prompts a step
    rollouts: int = paper.GRPO_ROLLOUTS  # answers to each
    mini_batch: int = paper.GRPO_MINI_BATCH  # prompts an update of the weights
    micro_batch: int = paper.GRPO_MICRO_BATCH  # answers a GPU reads at once
    devices: int = paper.GRPO_DEVICES  # GPUs a node
    nodes: int = 1
    tensor_parallel: int = 1  # GPUs that share one copy of the model while it writes
    gpu_memory: float = 0.6  # share of a GPU's memory that vLLM may take
    offload: bool = False  # weights and optimizer wait in main memory while vLLM writes
    attention: Attention = "flash_attention_2"  # verl's own choice; it leaves padding out. sdpa needs no flash-attn
    gradient_checkpointing: bool = True

    # Answers: the sampling of training is that of evaluation
    temperature: float = paper.TEMPERATURE
    top_p: float = 1.0
    max_prompt: int = paper.MAX_PROMPT_TOKENS  # tokens; longer ones are left out and counted
    max_response: int = paper.MAX_NEW_TOKENS

    # Optimization
    epochs: float = paper.GRPO_EPOCHS
    max_steps: int = 0  # 0: as many as the epochs take
    learning_rate: float = paper.GRPO_LEARNING_RATE
    warmup_steps: int = paper.GRPO_WARMUP_STEPS
    weight_decay: float = 0.01  # verl's default
    max_grad_norm: float = 1.0
    kl: float = paper.GRPO_KL  # off, as in DAPO
    entropy: float = paper.GRPO_ENTROPY  # verl's default when they ran it

    # Rewards (train.rewards.score); a weight of 0 leaves a part out
    reward: Variant = "default"
    form_weight: float = 1.0
    outcome_weight: float = 1.0
    length_weight: float = 0.0
    repetition_weight: float = 0.0
    judge_weight: float = 0.0  # of one point of 1 to 5; the authors' 0.8 belongs to outcomes of up to 105
    judge_model: str = ""  # of another family than the policy
    judge_url: str = ""  # its server, of OpenAI's API: 'http://127.0.0.1:8001/v1'
    judge_timeout: float = 60.0
    judge_guidelines: str = ""  # folder of `deepicd guidelines`
    judge_descriptions: str = ""  # descriptions.parquet of `deepicd scrape`

    # When a run is hopeless: a share over which it stops, once `patience` steps in a row were over it; 1 for never
    stop_at_zero_variance: float = 1.0  # groups whose answers all earn the same: nothing to learn from them
    stop_at_truncated: float = 1.0  # answers that ran into max_response
    stop_at_repeated: float = 1.0  # words in runs of six that stood before
    patience: int = 20  # steps

    # While it runs
    save_steps: int = 50
    keep_checkpoints: int = 2

    @property
    def answers(self) -> int:
        """Completions a step."""
        return self.batch * self.rollouts

    @property
    def world(self) -> int:
        """GPUs of all nodes."""
        return self.devices * self.nodes

    @property
    def options(self) -> dict[str, Any]:
        """What a run's plan has of it."""
        return asdict(self)

    def scheme(self, opening: str) -> RewardScheme:
        """What is paid; `opening` is what the chat template has written of an answer. Raises DeepicdError."""
        parts = {name: getattr(self, f"{name}_weight") for name in ("form", "outcome", "length", "repetition", "judge")}
        return score.parse_scheme(self.reward, opening=opening, **parts)

    @property
    def judge(self) -> dict[str, Any]:
        """The judge's own recipe (train.rewards.judge), as far as this one decides it; empty for no judge."""
        if not self.judge_weight:
            return {}
        return {
            "model": self.judge_model,
            "base_url": self.judge_url,
            "timeout": self.judge_timeout,
            "guidelines": self.judge_guidelines,
            "descriptions": self.judge_descriptions,
        }


Recipe = SftRecipe | GrpoRecipe
