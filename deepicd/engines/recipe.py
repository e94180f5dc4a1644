"""The part of a recipe that engines read: which model answers, how it draws tokens, where and how fast it runs.

A stage's own recipe inherits this one and adds what decides its prompts and checks. See deepicd.config for how recipes
are read and checked.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from deepicd import paper, storage
from deepicd.config import Config, ConfigError, Number, PositiveCount, Share
from deepicd.engines import registry

# Fields that decide no text: a run may move from vllm to a server, or to more GPUs, and keep what is written.
RUNNING = (
    *("engine", "base_url", "rename_parameters", "in_flight", "tensor_parallel", "data_parallel", "gpu_memory"),
    *("timeout", "outage"),
)
# Of `engine_args`, those that decide no text
RUNNING_ARGS = frozenset(
    (
        *("pipeline_parallel_size", "enable_expert_parallel", "data_parallel_backend", "distributed_executor_backend"),
        *("max_num_seqs", "max_num_batched_tokens", "enable_chunked_prefill", "async_scheduling", "enforce_eager"),
        *("compilation_config", "block_size", "swap_space", "cpu_offload_gb", "load_format", "download_dir"),
    )
)
# Arguments of vLLM that a field of the recipe sets → that field
FIELDS_OF_ARGS = {
    "model": "model",
    "tokenizer": "model",
    "revision": "revision",
    "tokenizer_revision": "revision",
    "dtype": "dtype",
    "max_model_len": "context",
    "tensor_parallel_size": "tensor_parallel",
    "data_parallel_size": "data_parallel",
    "gpu_memory_utilization": "gpu_memory",
    "seed": "seed",
    "enable_lora": "adapter",
    "enable_prefix_caching": "layout",
}
# Fields that change what a server is asked beside the prompt
BODY_CHANGES = ("drop_parameters", "extra_body")
# Of a request's body, what is the engine's own to set
OWN_PARAMETERS = (
    *("model", "messages", "seed", "n", "stream", "response_format"),
    *("continue_final_message", "add_generation_prompt"),
)


def _read_names(value: object) -> object:
    return tuple(sorted(value)) if isinstance(value, list) and all(isinstance(name, str) for name in value) else value


TEMPLATE_DATE = "2024-07-26"  # the default of Llama 3.1's template
TemplateDate = Annotated[str, Field(pattern=r"^(19|20)\d\d-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])$")]
"""A day of any month up to the 28th."""


class ModelRecipe(Config):
    """Sampling is that of the authors' script (deepicd.paper)."""

    LATER = frozenset({"template_date", "adapter", "engine_args", *BODY_CHANGES})

    engine: str  # one of deepicd.engines.registry.list_engines()
    model: str  # name or path; for engines without a model, their own name for what they do

    revision: str = ""
    """Commit or tag of the model on the Hub; '' for the newest, which changes over time."""
    dtype: str = "auto"  # 'auto' (as the weights are stored), 'bfloat16', 'float16', 'float32'
    context: PositiveCount = 32_768
    """Tokens of prompt and completion together that the model is run with; Qwen2.5's own."""

    adapter: str = ""
    """A LoRA adapter on top of the model, by path, for the engine vllm; '' for none."""
    engine_args: dict[str, Any] = Field(default={})
    """Further arguments of vLLM, for the engines vllm and ray: {quantization: fp8, pipeline_parallel_size: 2}."""

    template_date: TemplateDate = TEMPLATE_DATE
    """What a chat template that writes today's date takes for it, so that a prompt is the same every day."""

    # Sampling
    temperature: Annotated[Number, Field(ge=0, le=10)] = paper.TEMPERATURE
    top_p: Share = 1.0
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] = 0  # 0: all tokens
    seed: int = paper.SEED
    max_tokens: PositiveCount = paper.MAX_NEW_TOKENS  # per completion, the prompt not counted

    # The body of a request, for servers (`openai_server`) that differ from OpenAI's first API
    extra_body: dict[str, Any] = Field(default={})
    """Further parameters, under the name of OpenAI's Python client: {reasoning_effort: low, top_k: 20}."""
    drop_parameters: Annotated[tuple[str, ...], BeforeValidator(_read_names)] = ()
    """Parameters that the server refuses: [seed, top_p]. It then uses its own values."""
    rename_parameters: dict[str, str] = Field(default={})
    """Other names of the same parameters: {max_tokens: max_completion_tokens}. Decides no text."""

    # Where and how fast. These decide no text, so they are left out of digests and of the ledger's keys.
    base_url: str = ""  # of `openai_server`: 'http://127.0.0.1:8000/v1'; several servers are divided by commas
    in_flight: Annotated[int, Field(ge=0, le=1_000_000)] = 0  # requests under way at once; 0: the engine's own choice
    tensor_parallel: PositiveCount = 1  # GPUs that share one copy of the model
    data_parallel: PositiveCount = 1  # copies of the model
    gpu_memory: Share = 0.9  # share of each GPU's memory that vLLM may take
    timeout: Annotated[Number, Field(ge=0.1, le=86_400)] = 600.0  # seconds that `openai_server` waits for one answer
    outage: Annotated[Number, Field(ge=0, le=86_400)] = 600.0
    """Seconds that `openai_server` waits for a server which answers nobody: one that restarts, say."""

    @field_validator("engine")
    @classmethod
    def _rename_engine(cls, name: str) -> str:
        return registry.rename_engine(name)

    @model_validator(mode="after")
    def _check_parameters(self) -> Self:
        """Check that `extra_body` and its kin leave alone what the engine sets, and what has a field of its own."""
        used: dict[str, Iterable[str]] = {
            "extra_body": self.extra_body,
            "drop_parameters": self.drop_parameters,
            "rename_parameters": self.rename_parameters,
        }
        for field, names in used.items():
            allowed = ("seed", "response_format") if field != "extra_body" else ()
            if taken := sorted(set(names) & set(OWN_PARAMETERS) - set(allowed)):
                raise ConfigError(f"{field} names {taken[0]!r}.", "The engine sets that itself: leave it out.")
        if taken := sorted(self.extra_body.keys() & {"temperature", "top_p", "max_tokens"}):
            raise ConfigError(f"extra_body names {taken[0]!r}.", f"The recipe has a field for it: {taken[0]}.")
        return self

    @model_validator(mode="after")
    def _check_engine_args(self) -> Self:
        """Check that `engine_args` leaves alone what has a field of its own."""
        if taken := sorted(self.engine_args.keys() & FIELDS_OF_ARGS.keys()):
            raise ConfigError(
                f"engine_args names {taken[0]!r}.", f"The recipe has a field for it: {FIELDS_OF_ARGS[taken[0]]}."
            )
        return self

    def __hash__(self) -> int:
        return hash(storage.digest_json(dict(self)))

    @property
    def uses_model(self) -> bool:
        """Whether a language model generates: then any engine may continue where another stopped."""
        return registry.uses_model(self.engine)

    @property
    def base_urls(self) -> list[str]:
        return [url.strip() for url in self.base_url.split(",") if url.strip()]

    @property
    def options(self) -> dict[str, object]:
        """The fields that a run's plan contains: all but those about where and how fast it runs."""
        values = {name: value for name, value in super().options.items() if name not in RUNNING}
        if self.engine_args:
            del values["engine_args"]
        return values | ({"engine_args": self.deciding_args} if self.deciding_args else {})

    @property
    def deciding_args(self) -> dict[str, object]:
        """The arguments of the engine that may change what is written."""
        return {name: value for name, value in self.engine_args.items() if name not in RUNNING_ARGS}

    @property
    def sampling(self) -> dict[str, int | float]:
        """How tokens are drawn, without the seed."""
        return {name: getattr(self, name) for name in ("temperature", "top_p", "top_k", "max_tokens")}

    @property
    def body_changes(self) -> list[dict[str, object]]:
        """What changes the body of a request, for the keys of a ledger; empty where nothing does."""
        changes = {name: getattr(self, name) for name in BODY_CHANGES}
        return [changes] if any(changes.values()) else []

    def shape_body(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the body of a request as this recipe's server wants it.

        >>> recipe = ModelRecipe(engine="openai_server", model="m", rename_parameters={"max_tokens": "max_new_tokens"})
        >>> recipe.shape_body({"model": "m", "max_tokens": 9})
        {'model': 'm', 'max_new_tokens': 9}
        """
        kept = {name: value for name, value in body.items() if name not in self.drop_parameters}
        return {self.rename_parameters.get(name, name): value for name, value in kept.items()} | self.extra_body

    def derive_seed(self, attempt: int, rollout: int = 0) -> int:
        """Return the seed of an attempt at a rollout, both counted from 0: the recipe's, then seeds derived from it."""
        if rollout:
            return int(storage.digest_json([self.seed, attempt, rollout])[:7], 16)
        return self.seed if attempt == 0 else int(storage.digest_json([self.seed, attempt])[:7], 16)
