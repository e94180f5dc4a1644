"""How fast models read and write, by published figures; and what stages take on disk and in memory, as measured.

Published: NVIDIA, TensorRT-LLM 1.0, "Overview" of performance: total output tokens/s under full load on H100 80GB with
FP8 weights, prompts of 2,048 tokens and answers of 128 or of 2,048. Two lengths give two rates, of reading and of
writing. Models between the two sizes are interpolated by their number of parameters. Weights in bfloat16 are twice the
bytes and half the arithmetic, so both rates are halved. vLLM without tuning had 1/2.3 of a tuned server's rate for
prompts of 4,000 tokens (GPUStack's performance lab, Qwen3-32B on an H100: 2,149 against 4,929 tokens/s).
"""

from dataclasses import dataclass

UNTUNED = 4929 / 2149


@dataclass(frozen=True, slots=True)
class Published:
    """A model of the table, on `gpus` H100."""

    billions: float
    gpus: int
    short_answers: float
    """Output tokens/s with 2,048 in and 128 out."""
    long_answers: float
    """Output tokens/s with 2,048 in and 2,048 out."""

    @property
    def writing(self) -> float:
        """Tokens per second and GPU, without the time for prompts."""
        return (2048 - 128) / (2048 / self.long_answers - 128 / self.short_answers) / self.gpus

    @property
    def reading(self) -> float:
        return 2048 / (128 / self.short_answers - 128 / (self.writing * self.gpus)) / self.gpus


LLAMA_8B = Published(8.03, 1, 3450, 9305)  # Llama-3.1-8B-Instruct-FP8
LLAMA_70B = Published(70.6, 2, 762, 3082)  # Llama-3.3-70B-Instruct-FP8


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens per second on one GPU."""

    reading: float
    writing: float

    def count_hours(self, new_tokens: float, completion_tokens: float) -> float:
        """Return GPU-hours."""
        return (new_tokens / self.reading + completion_tokens / self.writing) / 3600


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is planned for."""

    name: str
    billions: float
    gpus: int
    """80 GB GPUs that hold one copy in bfloat16, with room for the cache."""


MODELS = (
    Model("Qwen2.5-7B-Instruct", 7.6, 1),
    Model("Qwen2.5-32B-Instruct", 32.8, 2),
    Model("Llama-3.3-70B-Instruct", 70.6, 4),
    Model("Qwen2.5-72B-Instruct", 72.7, 4),
)


def estimate_rates(billions: float, *, fp8: bool = False) -> Rates:
    """Return the published rates of one H100 for a dense model of this size.

    >>> estimate_rates(8.03, fp8=True).reading > 4 * estimate_rates(70.6, fp8=True).reading
    True
    """
    share = (billions - LLAMA_8B.billions) / (LLAMA_70B.billions - LLAMA_8B.billions)
    share = min(1.0, max(0.0, share))
    halved = 1 if fp8 else 2
    # work per second: tokens times parameters changes little with size
    reading, writing = (
        ((1 - share) * small * LLAMA_8B.billions + share * large * LLAMA_70B.billions) / billions / halved
        for small, large in ((LLAMA_8B.reading, LLAMA_70B.reading), (LLAMA_8B.writing, LLAMA_70B.writing))
    )
    return Rates(reading, writing)
