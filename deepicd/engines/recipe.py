"""The part of a recipe that engines read: which model answers, how it draws tokens, where and how fast it runs.

A stage's own recipe inherits this one and adds what decides its prompts and checks. See deepicd.config for how recipes
are read and checked.
"""

from typing import Annotated

from pydantic import Field, field_validator

from deepicd import paper, storage
from deepicd.config import Config, Number, PositiveCount, Share
from deepicd.engines import registry

# Fields that decide no text: a run may move from vllm to a server, or to more GPUs, and keep what is written.
RUNNING = ("engine", "base_url", "in_flight", "tensor_parallel", "data_parallel", "gpu_memory", "timeout")

TEMPLATE_DATE = "2024-07-26"  # the default of Llama 3.1's template
TemplateDate = Annotated[str, Field(pattern=r"^(19|20)\d\d-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])$")]
"""A day of any month up to the 28th."""


class ModelRecipe(Config):
    """Sampling is that of the authors' script (deepicd.paper)."""

    LATER = frozenset({"template_date"})

    engine: str  # one of deepicd.engines.registry.list_engines()
    model: str  # name or path; for engines without a model, their own name for what they do

    revision: str = ""
    """Commit or tag of the model on the Hub; '' for the newest, which changes over time."""
    dtype: str = "auto"  # 'auto' (as the weights are stored), 'bfloat16', 'float16', 'float32'
    context: PositiveCount = 32_768
    """Tokens of prompt and completion together that the model is run with; Qwen2.5's own."""

    template_date: TemplateDate = TEMPLATE_DATE
    """What a chat template that writes today's date takes for it, so that a prompt is the same every day."""

    # Sampling
    temperature: Annotated[Number, Field(ge=0, le=10)] = paper.TEMPERATURE
    top_p: Share = 1.0
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] = 0  # 0: all tokens
    seed: int = paper.SEED
    max_tokens: PositiveCount = paper.MAX_NEW_TOKENS  # per completion, the prompt not counted

    # Where and how fast. These decide no text, so they are left out of digests and of the ledger's keys.
    base_url: str = ""  # of `openai_server`: 'http://127.0.0.1:8000/v1'
    in_flight: Annotated[int, Field(ge=0, le=1_000_000)] = 0  # requests under way at once; 0: the engine's own choice
    tensor_parallel: PositiveCount = 1  # GPUs that share one copy of the model
    data_parallel: PositiveCount = 1  # copies of the model
    gpu_memory: Share = 0.9  # share of each GPU's memory that vLLM may take
    timeout: Annotated[Number, Field(ge=0.1, le=86_400)] = 600.0  # seconds that `openai_server` waits for one answer

    @field_validator("engine")
    @classmethod
    def _rename_engine(cls, name: str) -> str:
        return registry.rename_engine(name)

    @property
    def uses_model(self) -> bool:
        """Whether a language model generates: then any engine may continue where another stopped."""
        return registry.uses_model(self.engine)

    @property
    def options(self) -> dict[str, object]:
        """The fields that a run's plan contains: all but those about where and how fast it runs."""
        return {name: value for name, value in super().options.items() if name not in RUNNING}

    @property
    def sampling(self) -> dict[str, int | float]:
        """How tokens are drawn, without the seed."""
        return {name: getattr(self, name) for name in ("temperature", "top_p", "top_k", "max_tokens")}

    def derive_seed(self, attempt: int) -> int:
        """Return the seed of an attempt, counted from 0: the recipe's, then seeds derived from it."""
        return self.seed if attempt == 0 else int(storage.digest_json([self.seed, attempt])[:7], 16)
