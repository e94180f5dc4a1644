"""metrics.json: the figures of an evaluation, field by field, as one stage writes and others read them.

    metrics = read_metrics(Path("out/evaluation/metrics.json"))
    metrics.chapter.macro_f1, metrics.chapter.interval["macro_f1"]      # 0.545, [0.531, 0.559]

For credentialed notes, counts and shares that would reveal a small group are None (deepicd.small_counts). The figures
of the three levels are exact.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from deepicd import records, storage
from deepicd.records import Model
from deepicd.storage import Origin

LevelName = Literal["chapter", "category", "full"]
ListLevelName = Literal["category", "full"]
Averaging = Literal["truth", "union", "vocabulary"]
Interval = list[float]
"""[low, high]."""

METRICS_FILE = "metrics.json"


class MacroAverages(Model):
    """Means over the classes of a convention."""

    macro_precision: float
    macro_recall: float
    macro_f1: float


class ConventionMetrics(MacroAverages):
    classes: int


class LevelMetrics(MacroAverages):
    """The figures at one level of the code."""

    accuracy: float
    classes: int
    interval: dict[str, Interval | None]
    """Metric → interval; None where none covers."""


class IntervalMethod(Model):
    """How the intervals were made: by leaving out one patient at a time (the jackknife)."""

    patients: int
    confidence: float
    missing: dict[str, str]
    """'LEVEL.METRIC' → why it has no interval."""


class ChapterMetrics(Model):
    """A chapter of the tabular list. None where a figure is withheld, or has no sample."""

    chapter: int
    roman: str
    title: str
    samples: int | None
    precision: float | None
    recall: float | None
    f1: float | None
    f1_interval: Interval | None
    category_accuracy: float | None
    full_accuracy: float | None


class GroupMetrics(Model):
    """The classes that hold a third of the training rows: the common, the middle or the rare ones."""

    samples: int | None
    classes: int
    macro_f1: float | None
    f1_interval: Interval | None
    accuracy: float | None


class PrefixDepth(Model):
    """How many characters predictions share with the true code."""

    mean: float | None
    mean_share: float | None
    """Of the true code's characters."""
    rows: dict[str, int | None]
    """Characters ('0' to '7') → answers."""


class SeverityErrors(Model):
    """Wrong codes, those apart that name the right disease in another severity (deepicd.severity)."""

    errors: int
    severity_only: int
    pairs: dict[str, int]
    """'I20.9 for I20.0' (predicted for true) → answers, the most frequent ten."""


class Difference(Model):
    """A figure of this run and of another one on the same notes."""

    ours: float
    theirs: float
    difference: float
    interval: Interval | None
    p: float | None


class ListLevel(Model):
    """Means over the lists of a split, at one level."""

    means: dict[str, float]
    """'recall_at_1', '…_3', '…_5', '…_10', 'recall', 'precision', 'f1', 'average_precision'."""
    interval: dict[str, Interval | None]


class ListChapter(Model):
    """The codes of a chapter in all lists. None where withheld, or where there is no such code."""

    chapter: int
    true: int | None
    recall: float | None
    precision: float | None


class ListMetrics(Model):
    """Lists of codes against the codes of the stays that the note supports (config multi)."""

    listed: float | None
    """Codes per answer, on the average. For credentialed rows this, `true` and `repeated` are rounded or None."""
    true: float | None
    repeated: float | None
    """Share of the listed codes that stand in the list already, on the average."""
    levels: dict[ListLevelName, ListLevel]
    chapters: list[ListChapter]
    severity: SeverityErrors | None
    """Wrong codes of the lists; None for credentialed rows."""
    comparison: dict[str, Difference] | None = None
    """'LEVEL.FIGURE' → difference of the means; absent unless two runs are compared."""


class AnswerCounts(Model):
    predict_a_code: int | None
    problems: dict[str, int | None]
    """Why an answer predicts nothing → answers."""
    nil: dict[LevelName, int | None]
    """Level → answers without a code, or with one outside the vocabulary."""


class SubgroupMetrics(Model):
    """The scores of a group of notes; what would reveal a small group is None or absent."""

    samples: int | None
    accuracy: dict[LevelName, float | None]
    accuracy_interval: dict[LevelName, Interval | None]
    macro_f1: dict[LevelName, float]
    """Over the classes of this group: not comparable between groups of different size."""
    f1_interval: dict[LevelName, Interval | None]


class SubgroupGap(Model):
    """The largest gap in accuracy between two groups; the interval is simultaneous over all pairs."""

    higher: str
    lower: str
    difference: float
    interval: Interval


class Subgroups(Model):
    """The groups of one column."""

    groups: dict[str, SubgroupMetrics]
    gaps: dict[LevelName, SubgroupGap | None]


class ReasoningMetrics(Model):
    """What is in the traces of a group of notes; None where it would reveal a small group, or nothing is known."""

    traces: int | None
    words: float | None
    """On the average, as `weighing` and `repeated`."""
    named: float | None
    """Share of traces that name the predicted code, its title or its category's."""
    named_early: float | None
    """Share of traces that do so in their first half."""
    weighing: float | None
    """Sentences that weigh alternatives."""
    without_weighing: float | None
    repeated: float | None
    """Share of words."""
    grounded: dict[str, float | None]
    """'numbers', 'drugs', 'quotations' → share that the note has; empty without the notes."""
    invented_vitals: float | None
    """Share of traces."""
    interval: dict[str, Interval] = Field(default_factory=dict)
    """Field, or 'grounded.numbers', … → interval over patients; absent where none covers."""


class Reasoning(Model):
    overall: ReasoningMetrics
    chapters: dict[str, ReasoningMetrics]
    """By the number of the chapter of the true code."""


class Metrics(Model):
    chapter: LevelMetrics
    category: LevelMetrics
    full: LevelMetrics
    rows: int
    origin: Origin
    averaging: Averaging
    intervals: IntervalMethod
    conventions: dict[Averaging, dict[LevelName, ConventionMetrics]]
    chapters: list[ChapterMetrics]
    terciles: dict[LevelName, dict[str, GroupMetrics]] | None
    """Level → 'head', 'middle', 'tail'; None without training rows."""
    prefix_depth: PrefixDepth
    answers: AnswerCounts
    severity: SeverityErrors | None = None
    """None for credentialed rows, of which these counts would be too small to show."""
    right_patients: dict[str, int] = Field(default_factory=dict)
    """Level to which an answer is right, the deepest alone, or 'none' → patients of such answers. Never published."""
    reasoning: Reasoning | None = None
    """Absent without traces."""
    reasoning_before: ReasoningMetrics | None = None
    """Of the run that this one is compared with."""
    subgroups: dict[str, Subgroups] | None = None
    """'sex', 'age_band', 'race', 'admission_type', 'icu', 'frequency'; absent unless a cohort is named."""
    several: ListMetrics | None = None
    """Absent unless the config multi is evaluated. All else in this file is about the first code."""
    comparison: dict[str, Difference] | None = None
    """'LEVEL.METRIC' → difference; absent unless two runs are compared."""

    def get_level(self, name: LevelName) -> LevelMetrics:
        """Return the figures at one level."""
        return {"chapter": self.chapter, "category": self.category, "full": self.full}[name]


def read_metrics(path: Path) -> Metrics:
    """Return the figures of an evaluation. Raises DeepicdError for a file of another version or kind."""
    return records.parse_model(Metrics, storage.read_json(path), str(path))
