"""Every figure of the DeepICD-R1 paper that deepicd uses, once, with the place where it stands.

"Authors": from the scripts and job files that the authors published with their code, where the paper is silent.
"""

from dataclasses import dataclass
from typing import NamedTuple

# The task and the dataset


@dataclass(frozen=True, slots=True)
class DatasetFigures:
    """MIMIC-Reason as the paper describes it."""

    samples: int
    rows: dict[str, int]
    """Split → samples."""
    codes: int
    categories: int
    chapters: int
    words_mean: float
    """Of a trace, as `words_min` and `words_max`."""
    words_min: int
    words_max: int


MIMIC_REASON = DatasetFigures(
    samples=93_142,  # Table 2, with the split, the codes and the words
    rows={"train": 65_228, "validation": 9_260, "test": 18_654},
    codes=6_368,
    categories=1_115,  # classes of the task, as `chapters`; the 22nd chapter, U00–U85, does not occur
    chapters=21,
    words_mean=477.3,
    words_min=31,
    words_max=883,
)

SPLIT_SHARES = {"train": 0.7, "test": 0.2, "validation": 0.1}

# Section 3.1: pages of gesund.bund.de with a description, by characters of the code
DESCRIPTIONS_BY_LENGTH = {3: 163, 4: 6_562, 5: 5_063}
DESCRIPTION_MEAN_WORDS = 132

# Sampling, of traces (authors' script) and of answers, in training and in evaluation alike (job files)
TEMPERATURE = 0.9
SEED = 42
MAX_NEW_TOKENS = 1024
MAX_PROMPT_TOKENS = 2048  # longer prompts are filtered out

# Rewards
CODE_PATTERN = r"[A-Z][0-9]{2}[A-Z0-9]{0,4}"  # of the format reward; for the whole text
OUTCOME_SCALE = 15.0  # authors, as all below: on the exact code's length, and on O/|g| + max(0, O - 2)
NO_MATCH = -1.0
EXTRA_MATCH = -1.0  # per match after the first
NOTHING_GENERATED = -5.0  # in addition to NO_MATCH
MALFORMED_JUDGE_SCORE = -1.0  # in place of the judge's 1 to 5, for an answer without the form (read in their code)
JUDGE_WEIGHT = 0.8  # per point of 1 to 5; belongs to outcomes of up to 105

# Supervised fine-tuning, with AdamW
SFT_EPOCHS = 1.0
SFT_BATCH = 32
SFT_LEARNING_RATE = 2e-5
SFT_WARMUP_STEPS = 100  # linear

# GRPO
GRPO_BATCH = 64  # prompts
GRPO_ROLLOUTS = 8  # per prompt
GRPO_KL = 0.0  # off, as in DAPO
GRPO_EPOCHS = 1.0  # authors, as all below
GRPO_LEARNING_RATE = 1e-6
GRPO_WARMUP_STEPS = 80
GRPO_MINI_BATCH = 64  # prompts
GRPO_MICRO_BATCH = 16  # completions per GPU
GRPO_ENTROPY = 0.001
GRPO_DEVICES = 4  # for models of 7 and 8 billion parameters

# Results


class ReportedScores(NamedTuple):
    """A row of Table 3 or 4, in percent. None where the paper has no figure."""

    table: int
    model: str
    stage: str
    precision: tuple[float | None, float | None, float | None]
    """At chapter, category and full code."""
    recall: tuple[float | None, float | None, float | None]
    f1: tuple[float, float, float]


_NONE = (None, None, None)

REPORTED_SCORES = (
    ReportedScores(3, "Qwen2.5-7B-Instruct", "baseline", (44.8, 4.7, 0.5), (39.0, 4.0, 0.3), (39.4, 3.4, 0.2)),
    ReportedScores(3, "Qwen2.5-32B-Instruct", "baseline", (49.1, 13.4, 1.4), (42.2, 12.0, 1.3), (43.5, 10.4, 0.9)),
    ReportedScores(3, "Llama-3.1-8B-Instruct", "baseline", (43.0, 4.2, 0.2), (14.6, 1.2, 0.1), (17.1, 1.4, 0.1)),
    ReportedScores(3, "MedReason-8B", "baseline", (43.3, 6.5, 0.2), (15.1, 1.9, 0.1), (17.8, 2.5, 0.1)),
    ReportedScores(3, "HuatuoGPT-o1-7B", "baseline", (41.9, 4.6, 0.3), (37.2, 3.9, 0.2), (37.6, 3.3, 0.2)),
    ReportedScores(3, "Qwen2.5-7B-Instruct", "GRPO", (49.6, 6.0, 0.6), (45.6, 6.4, 0.5), (43.9, 4.9, 0.4)),
    ReportedScores(3, "Qwen2.5-32B-Instruct", "GRPO", (56.1, 13.9, 1.4), (49.6, 15.1, 1.5), (49.8, 12.6, 1.1)),
    ReportedScores(3, "Qwen2.5-7B-Instruct", "SFT", (57.3, 13.0, 3.6), (48.3, 13.1, 4.3), (48.9, 12.1, 3.5)),
    ReportedScores(3, "Llama-3.1-8B-Instruct", "SFT", (61.5, 16.2, 4.0), (51.1, 14.6, 5.1), (52.9, 14.0, 3.9)),
    ReportedScores(3, "Qwen2.5-7B-Instruct", "SFT + GRPO", (61.4, 15.6, 3.9), (55.0, 16.1, 5.6), (54.5, 14.4, 3.9)),
    ReportedScores(3, "Llama-3.1-8B-Instruct", "SFT + GRPO", (64.6, 18.0, 4.2), (59.1, 17.1, 6.4), (59.5, 15.6, 4.3)),
    ReportedScores(4, "Qwen2.5-7B-Instruct", "SFT on outcome alone", _NONE, _NONE, (19.6, 1.1, 0.1)),
    ReportedScores(4, "Llama-3.1-8B-Instruct", "SFT on outcome alone", _NONE, _NONE, (23.9, 1.0, 0.1)),
)

REPORTED_ABLATIONS = (
    "without the judge, accuracy holds but traces degenerate",
    "a longer response limit brings repetition, not insight",
    "without the format or the outcome reward, training does not converge",
)
"""What the paper says of traces without a figure."""


def get_f1(model: str, stage: str) -> tuple[float, float, float]:
    """Return Table 3's macro F1 at chapter, category and full code, in percent.

    >>> get_f1("Qwen2.5-7B-Instruct", "SFT")
    (48.9, 12.1, 3.5)
    """
    return next(row.f1 for row in REPORTED_SCORES if (row.table, row.model, row.stage) == (3, model, stage))
