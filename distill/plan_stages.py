"""What stages take: how fast models read and write, and a line of `deepicd plan` for each stage beside `distill`.

Published: NVIDIA, TensorRT-LLM 1.0, "Overview" of performance: total output tokens/s under full load on H100 80GB with
FP8 weights, prompts of 2,048 tokens and answers of 128 or of 2,048. Two lengths give two rates, of reading and of
writing. Models between the two sizes are interpolated by their number of parameters. Weights in bfloat16 are twice the
bytes and half the arithmetic, so both rates are halved. vLLM without tuning had 1/2.3 of a tuned server's rate for
prompts of 4,000 tokens (GPUStack's performance lab, Qwen3-32B on an H100: 2,149 against 4,929 tokens/s).

Judge and verify are computed from these rates, training from its operations, files as measured. Lengths are those of
the recipes as they are checked in; what has no measurement is a constant here with its source, and `ASSUMPTIONS` says
so to whoever reads the table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from deepicd import paper
from deepicd.log import format_duration
from distill.workload import ABOUT_CODE_TOKENS, OWN_WORDS_TOKENS, TOKENS_PER_WORD, Workload

GB, MIB = 1e9, 2**20


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table; '' where a stage has no such figure."""

    stage: str
    what: str
    amount: str
    time: str = ""
    disk: str = ""
    memory: str = ""


def format_count(number: float) -> str:
    """Return a number of tokens or rows.

    >>> format_count(93_142), format_count(62_200_000), format_count(3.5e9)
    ('93,142', '62.2 M', '3.50 G')
    """
    if number >= 1e9:
        return f"{number / 1e9:,.2f} G"
    return f"{number / 1e6:,.1f} M" if number >= 1e6 else f"{number:,.0f}"


def format_size(number: float) -> str:
    """Return a number of bytes.

    >>> format_size(614_700_000), format_size(1_200)
    ('614.7 MB', '2 kB')
    """
    for unit, size in (("TB", 1e12), ("GB", GB), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{ceil(number / 1e3)} kB"


def format_hours(hours: float) -> str:
    """Return a duration; from three days on, in days."""
    if hours >= 72:
        return f"{hours / 24:,.0f} days"
    return format_duration(hours * 3600)


def format_gpu_hours(least: float, most: float) -> str:
    return f"{least:,.0f} to {most:,.0f} GPU-hours"


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


CHARACTERS_PER_TOKEN = 4  # of a note; assumed
TRACE_TOKENS = paper.MIMIC_REASON.words_mean * TOKENS_PER_WORD

# judge: recipe `judge`
JUDGE_GUIDELINES, JUDGE_WRITES = 1_024, 120  # tokens: of relevant sections at most; a score and why, assumed
SCORE_BYTES = 700  # a row of scores and a completion of the ledger

# verify: recipe `verify`: four answers from the note, one from the trace, points from the outcome, their grades
NOTE_ANSWERS, ANSWER_WRITES, POINTS_WRITE, GRADES_WRITE = 4, 300, 400, 100  # assumed tokens
OUTCOME_TOKENS = 2_500  # of a discharge note behind its admission sections; assumed
VERIFIED_BYTES = 12_000  # completions of the ledger and a row

# Training of a model of 7.6 billion parameters (recipes sft-7b, grpo-7b) on H100
PARAMETERS, PEAK = 7.6e9, 989e12  # dense bf16 operations per second, NVIDIA's data sheet
UTILIZATION = (0.40, 0.12)  # of the peak: Llama 3's published 38–43 %; ours with 117 M parameters (benchmarks)
TRAIN_OPERATIONS = 8  # per parameter and token: forward, backward, and forward again (gradient checkpointing)
STATE_BYTES = 16  # per parameter: weights and gradients in bf16, AdamW's two moments and weights in float32
CHECKPOINTS = 2
GRPO_GENERATES = TRACE_TOKENS  # per rollout; assumed
GRPO_SCORES = 2  # operations per parameter and token, for the log-probabilities before the update

# card, bundle, publish
CARD_MEMORY, CARD_ROW, CARD_SECONDS, CARD_ROW_SECONDS = 264 * MIB, 2_000, 5.0, 0.00011  # benchmarks.scaling, to 100,000
PUBLISH_MEMORY = 355 * MIB  # benchmarks.publish
LINE_BYTES = 125e6  # per second, a gigabit line; the upload takes 1.1 times the bare one (benchmarks.publish)

ASSUMPTIONS = (
    f"judge and verify: Llama-3.3-70B on 4 GPUs, one answer per kept trace and question, {JUDGE_WRITES} tokens per"
    f" score, {ANSWER_WRITES} per diagnosis, {POINTS_WRITE} and {GRADES_WRITE} for points and grades; every rollout is"
    " kept",
    f"training: {PARAMETERS / 1e9:.1f} billion parameters, one epoch of {paper.SPLIT_SHARES['train']:.0%} of the rows,"
    f" at {UTILIZATION[0]:.0%} (Llama 3's published rate) to {UTILIZATION[1]:.0%} (ours, a small model) of an H100's"
    f" peak; GRPO with {paper.GRPO_ROLLOUTS} rollouts as long as a trace",
    "card and publish: measured on two shared cores, publish over a gigabit line; rows of credentialed records are not"
    " published, and a bundle takes the disk of the dataset again",
)


def list_verification(workload: Workload, rollouts: int) -> Iterator[Line]:
    """Yield what judge and verify take of a model."""
    traces, note = workload.rows * rollouts, workload.note_characters / CHARACTERS_PER_TOKEN
    about = ABOUT_CODE_TOKENS + OWN_WORDS_TOKENS
    yield _describe_model(
        "judge", "scores", traces, read=note + TRACE_TOKENS + JUDGE_GUIDELINES + about, write=JUDGE_WRITES,
        disk=traces * SCORE_BYTES,
    )  # fmt: skip
    read = (note + OUTCOME_TOKENS) / rollouts + 2 * TRACE_TOKENS + 3 * OWN_WORDS_TOKENS  # note and outcome once per row
    write = (NOTE_ANSWERS * ANSWER_WRITES + POINTS_WRITE) / rollouts + ANSWER_WRITES + GRADES_WRITE
    yield _describe_model("verify", "traces", traces, read=read, write=write, disk=traces * VERIFIED_BYTES)


def _describe_model(stage: str, what: str, traces: int, *, read: float, write: float, disk: float) -> Line:
    hours = estimate_rates(LLAMA_70B.billions).count_hours(traces * read, traces * write)
    return Line(
        stage,
        f"{format_count(traces)} {what}, Llama-3.3-70B",
        format_gpu_hours(hours, hours * UNTUNED),
        f"{format_hours(hours / 8)} to {format_hours(hours * UNTUNED / 8)} on 8",
        format_size(disk),
        f"{format_size(LLAMA_70B.billions * 2 * GB)} on 4 GPUs",
    )


def list_training(workload: Workload) -> Iterator[Line]:
    """Yield what SFT and GRPO of a model of 7 billion parameters take."""
    rows = round(workload.rows * paper.SPLIT_SHARES["train"])
    prompt = workload.note_characters / CHARACTERS_PER_TOKEN + OWN_WORDS_TOKENS / 2  # the student's words are fewer
    state = f"{format_size(PARAMETERS * STATE_BYTES)} on 4 GPUs"
    disk = format_size(PARAMETERS * (2 + CHECKPOINTS * (STATE_BYTES - 2)))
    tokens = rows * (prompt + TRACE_TOKENS)
    least, most = (_count_hours(TRAIN_OPERATIONS * tokens, share) for share in UTILIZATION)
    span = f"{format_hours(least / 4)} to {format_hours(most / 4)} on 4"
    yield Line("train sft", f"{format_count(tokens)} tokens, 7B", format_gpu_hours(least, most), span, disk, state)
    written = rows * paper.GRPO_ROLLOUTS * GRPO_GENERATES
    generating = estimate_rates(PARAMETERS / 1e9).count_hours(rows * prompt, written)
    learned = rows * paper.GRPO_ROLLOUTS * (prompt + GRPO_GENERATES) * (TRAIN_OPERATIONS + GRPO_SCORES)
    least, most = (
        generating * times + _count_hours(learned, share)
        for times, share in zip((1, UNTUNED), UTILIZATION, strict=True)
    )
    span = f"{format_hours(least / 4)} to {format_hours(most / 4)} on 4"
    yield Line(
        "train grpo", f"{format_count(written)} tokens written, 7B", format_gpu_hours(least, most), span, disk, state
    )


def _count_hours(operations_per_parameter: float, utilization: float) -> float:
    return PARAMETERS * operations_per_parameter / (PEAK * utilization) / 3600


def list_publication(rows: int, dataset_bytes: float) -> Iterator[Line]:
    """Yield what card and publish take."""
    memory = CARD_MEMORY + rows * CARD_ROW
    seconds = CARD_SECONDS + rows * CARD_ROW_SECONDS
    yield Line("card", "rows counted", f"{rows:,}", format_hours(seconds / 3600), "1.0 MB", format_size(memory))
    seconds = 1.1 * dataset_bytes / LINE_BYTES
    amount = f"{format_size(dataset_bytes)} sent"
    yield Line(
        "publish", "rows, where permitted", amount, format_hours(seconds / 3600), "", format_size(PUBLISH_MEMORY)
    )
