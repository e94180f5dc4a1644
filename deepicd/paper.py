"""What DeepICD-R1 reports, Tables 3 and 4, in per cent: the rows that a run of one's own is printed beside."""

from typing import NamedTuple


class ReportedScores(NamedTuple):
    """A row of the paper. None where it has no figure."""

    table: int
    model: str
    stage: str
    precision: tuple[float | None, float | None, float | None]
    """At chapter, category and full code."""
    recall: tuple[float | None, float | None, float | None]
    f1: tuple[float, float, float]


_NONE = (None, None, None)

PAPER = (
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
