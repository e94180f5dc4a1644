"""What each stage counts in its run.json, field by field: the schema of every record that a stage or a card reads.

    cohort = records.require(Path("out/cohort"), BuildRecord)
    cohort.counts.funnel.steps[0].rows

A field with a default is one that some records of earlier versions lack, or that a run writes only in some cases.
Numbers of credentialed rows in here are exact: a card withholds small ones, see deepicd.small_counts.
"""

from typing import ClassVar

from pydantic import Field, JsonValue

from deepicd.records import Counts, Model, Record

REHEARSED = "No language model wrote these traces: they are a rehearsal and no evidence of anything."

ByName = dict[str, int]
Number = int | float


# synthesize


class SynthesizeCounts(Counts):
    admissions: int = 0
    admissions_entered_twice: int = 0
    diagnoses: int = 0
    icu_stays: int = 0
    notes: int = 0
    notes_icd10: int = 0
    notes_icd9: int = 0
    notes_without_admission: int = 0
    patients: int = 0
    icd10_notes_by_chapter: ByName = Field(default_factory=dict)


class SynthesizeRecord(Record):
    COMMANDS: ClassVar = ("synthesize",)
    counts: SynthesizeCounts


# build, audit


class FunnelStep(Model):
    step: str
    rows: int
    """Left after this step."""
    lost: ByName
    """Reason → rows."""


class Funnel(Model):
    steps: list[FunnelStep]
    rows: int
    codes: int
    paper: ByName = Field(default_factory=dict)
    """The same of the paper's cohort."""
    icu: ByName = Field(default_factory=dict)
    """'with' and 'without' ICU stays → rows that are left; empty where the copy has no icu/icustays."""


class SplitCounts(Model):
    codes: ByName
    patients: int
    patients_on_several_sides: int
    moved: dict[str, float]
    """Split → how far its codes are from those of all rows, 0 (alike) to 1."""


class UnknownHeaders(Model):
    """Headers that the template does not know."""

    cut: int = 0
    """Distinct headers whose text was cut."""
    times_cut: int = 0
    kept: int = 0
    """Distinct headers that were taken as part of the section they stand under."""
    times_kept: int = 0


class BuildCounts(Counts):
    rows: ByName
    """Split → rows."""
    codes: int
    chapters: ByName
    split: SplitCounts
    funnel: Funnel
    flags: ByName = Field(default_factory=dict)
    lost_patients: ByName = Field(default_factory=dict)
    """Reason of the funnel → patients of the notes that were lost for it; empty in records of earlier versions."""
    flag_patients: ByName = Field(default_factory=dict)
    unknown_headers: UnknownHeaders = Field(default_factory=UnknownHeaders)


class BuildRecord(Record):
    COMMANDS: ClassVar = ("build",)
    counts: BuildCounts


class AuditCounts(Counts):
    leakage: dict[str, dict[str, ByName]]
    """Extraction → section → signal, or 'notes' → notes."""


class AuditRecord(Record):
    COMMANDS: ClassVar = ("audit",)
    counts: AuditCounts


# guidelines, scrape, coverage


class GuidelinesCounts(Counts):
    pages: int
    bookmarks: int
    headings_from_bookmarks: int
    headings_from_fonts: int
    code_references: int
    cross_references: int
    marks: int
    sections: int
    running_lines: ByName = Field(default_factory=dict)
    """Text that was taken out, '#' for its numbers → pages."""
    doubled_letters: int = 0  # printed twice; one of each pair was taken out
    audited_words: int | None = None
    """Pieces of words that a second library reads alike; None if it was not audited."""


class GuidelinesRecord(Record):
    COMMANDS: ClassVar = ("guidelines",)
    counts: GuidelinesCounts

    @property
    def fiscal_year(self) -> int:
        return self.get_option("fiscal_year", int)


class GuidelinesDatasetCounts(Counts):
    rows: ByName
    """Year ('fy2025') → sections."""


class GuidelinesDatasetRecord(Record):
    COMMANDS: ClassVar = ("guidelines dataset",)
    counts: GuidelinesDatasetCounts


class ScrapeCounts(Counts):
    asked: int
    outcomes: ByName
    asked_by_length: ByName
    described_by_length: ByName
    asked_by_chapter: ByName = Field(default_factory=dict)
    described_by_chapter: ByName = Field(default_factory=dict)
    mean_words: float | None
    downloaded: int = 0
    lists_missing: int = 0
    doubtful: int = 0  # answers that are no ICD pages; the next run requests these pages again


class ScrapeRecord(Record):
    COMMANDS: ClassVar = ("scrape",)
    counts: ScrapeCounts


class CoverageCounts(Counts):
    """A cell is None where it would reveal fewer stays than may be shown."""

    stays: dict[str, int | None]
    codes: ByName
    warnings: dict[str, int | None]
    chapters: dict[str, dict[str, int | None]]
    described: ByName


class CoverageRecord(Record):
    COMMANDS: ClassVar = ("coverage",)
    counts: CoverageCounts


# distill, judge


class PromptText(Model):
    """The teacher's prompt: templates with a name in braces for what differs between rows."""

    version: str
    messages: list[dict[str, str]]
    opening: str


class DistillCounts(Counts):
    kept: ByName
    """Split → rows."""
    rejected: ByName
    """Split → rows without a kept attempt."""
    reasons: ByName
    """Of the last attempt at each of these rows, or at each of their rollouts."""
    rollouts_kept: ByName = Field(default_factory=dict)
    """Kept rollouts of a row → rows: how hard the rows are. Absent from records of earlier versions, which made one."""
    attempts: int
    attempts_rejected_for: ByName = Field(default_factory=dict)
    engines: ByName
    """Name and version → attempts."""
    words: dict[str, Number] = Field(default_factory=dict)
    """Shortest, mean and longest kept trace; empty for none."""
    grounded: dict[str, float | None]
    """numbers, drugs, quotes → share of those in kept traces that stand in the note; None for none."""
    unanswered: ByName = Field(default_factory=dict)
    """The engine's reason → rows."""
    rare: ByName = Field(default_factory=dict)
    """Codes and rows with the larger budget of rare codes, their kept rows and attempts, and rows beyond its cap."""
    tokens: ByName = Field(default_factory=dict)
    """prompt_tokens, completion_tokens and cached_tokens of all attempts; 0 where the engine reports none."""
    shortened: int = 0
    without_description: int = 0
    without_guidelines: int = 0
    no_note: int = 0
    too_long_for_the_context: int = 0
    recipe_digest: str
    limit: int | None = None
    asked: PromptText | None = None
    running: dict[str, JsonValue] = Field(default_factory=dict)
    """Fields of the recipe that decide no text."""
    tokens_counted_by: str = ""
    series: list[dict[str, Number]] = Field(default_factory=list)


class DistillRecord(Record):
    COMMANDS: ClassVar = ("distill",)
    counts: DistillCounts

    @property
    def teacher(self) -> str:
        return self.get_option("model", str)

    @property
    def rollouts(self) -> int:
        """Rollouts per row."""
        return self.get_option("rollouts", int) if "rollouts" in self.options else 1


def describe_rehearsal(record: Record) -> str | None:
    """Return the first line of every command on traces that no language model wrote; None where one wrote them.

    `record`: of the distillation, or of a run with one in its lineage.
    """
    distillations = [record, *record.lineage.values()]
    is_rehearsed = any(
        run.command in DistillRecord.COMMANDS and run.options.get("by_model") is not True for run in distillations
    )
    return REHEARSED if is_rehearsed else None


class JudgeCounts(Counts):
    scored: int
    scores: ByName
    """Score ('1' to '5') → traces."""
    mean: float | None
    unscored: ByName
    """Reason → traces."""
    shortened: int = 0
    """Prompts with fewer guidelines than the recipe's, to fit the judge's context."""
    recipe_digest: str
    series: list[dict[str, Number]] = Field(default_factory=list)


class JudgeRecord(Record):
    COMMANDS: ClassVar = ("judge",)
    counts: JudgeCounts

    @property
    def judge(self) -> str:
        return self.get_option("model", str)


# verify

REHEARSED_CHECKS = "No language model answered: what this verification says of answers and points is a rehearsal."


class VerifyCounts(Counts):
    traces: ByName
    """Split → traces."""
    verified: ByName
    reasons: ByName
    """Why the others fail → traces."""
    forecasts: dict[str, ByName]
    """Category → verdict → expectations."""
    by_model: ByName = Field(default_factory=dict)
    """Verdict → expectations that a model decided, with a quotation, where the rules had nothing to say."""
    levels: dict[str, ByName]
    """'from trace', 'from note' → level, '0' to '3' → traces."""
    lift_by_chapter: dict[str, float]
    met: float | None
    """Mean share of points met; None where none was graded."""
    covered: int
    nameable: int
    tokens: ByName
    unread: ByName
    """What no answer could be read of → traces."""
    unanswered: ByName
    """Reason of the engine → questions."""
    recipe_digest: str


class VerifyRecord(Record):
    COMMANDS: ClassVar = ("verify",)
    counts: VerifyCounts


# assemble (and rehydrate), card, bundle, publish


class AssembleCounts(Counts):
    rows: dict[str, ByName]
    """Config → split → rows."""
    chosen_by: ByName = Field(default_factory=dict)
    """The criterion that chose a row's trace → rows; empty where there was nothing to choose."""
    listed: ByName = Field(default_factory=dict)
    """Of the config multi: other codes of the stays 'by finding', 'by drug', 'by value', and 'not supported'."""
    differences: ByName = Field(default_factory=dict)
    """Of a dataset put together from a bundle without notes: reason → rows left out."""


class AssembleRecord(Record):
    COMMANDS: ClassVar = ("assemble",)
    counts: AssembleCounts


class ReportCounts(Counts):
    rows: int
    of: int


class ReportRecord(Record):
    COMMANDS: ClassVar = ("report",)
    counts: ReportCounts


class ReviewCounts(Counts):
    items: int
    shared: int
    """Items that every reviewer rates."""
    forms: ByName
    """Reviewer → forms to fill in."""


class ReviewRecord(Record):
    COMMANDS: ClassVar = ("review",)
    counts: ReviewCounts


class CardCounts(Counts):
    rows: dict[str, ByName] = Field(default_factory=dict)
    """As in `assemble`; absent from the card of a model."""
    readme_sha256: str


class CardRecord(Record):
    COMMANDS: ClassVar = ("card",)
    counts: CardCounts


class BundleCounts(Counts):
    rows: dict[str, ByName]
    files: int
    abstract_words: int


class BundleRecord(Record):
    COMMANDS: ClassVar = ("bundle",)
    counts: BundleCounts


class PublishCounts(Counts):
    commit: str
    repository: str
    """Who may read it."""
    files: dict[str, str]
    """Name in the repository → digest."""
    compared: str


class PublishRecord(Record):
    COMMANDS: ClassVar = ("publish",)
    counts: PublishCounts


# train, evaluate


class TokenLengths(Model):
    """Of the rows of one split, in tokens."""

    rows: int
    kept: int
    over: int
    limit: int
    median: int
    ninety_fifth: int
    longest: int
    tokens: int


class StepLoss(Model):
    step: int
    loss: float


class ValidationLoss(Model):
    before: float | None
    after: float | None


class EndValues(Model):
    """The mean over the first and the last tenth of the steps; None where there was no step."""

    first: float | None
    last: float | None


class SkippedUpdate(Model):
    """An update of the weights that was left out since a gradient was not finite."""

    step: int
    batches: list[list[int]]
    """Rows and length in tokens of its longest backward passes."""
    weight: str
    """The first weight whose gradient was not finite."""


class SftCounts(Counts):
    rows: ByName
    left_out: dict[str, ByName]
    lengths: dict[str, TokenLengths]
    sequences: int | None = None
    """Rows, or what packing made of them; None in records of older versions."""
    trained_tokens: int
    steps: int
    losses: list[StepLoss]
    validation_loss: ValidationLoss
    skipped_updates: int
    skipped: list[SkippedUpdate] = Field(default_factory=list)
    training_seconds: float
    tokens_per_second: Number | None
    resumed_at: int | None
    device: str
    devices: int


class GrpoCounts(Counts):
    rows: ByName
    left_out: ByName
    lengths: dict[str, TokenLengths]
    steps: int
    reward: EndValues
    zero_variance: EndValues
    truncated: EndValues
    repeated: EndValues
    words: EndValues
    parts: dict[str, EndValues]
    skipped_updates: int | None = None
    skipped: list[SkippedUpdate] = Field(default_factory=list)
    training_seconds: float
    resumed_at: int | None
    device: str
    devices: int
    judge_missed: ByName = Field(default_factory=dict)
    points_missed: ByName = Field(default_factory=dict)


class TrainingCounts(Counts):
    """What a model's card shows of either training; what is absent is left out."""

    rows: ByName = Field(default_factory=dict)
    steps: int | None = None
    skipped_updates: int | None = None
    losses: list[StepLoss] = Field(default_factory=list)
    validation_loss: ValidationLoss | None = None
    training_seconds: float | None = None
    tokens_per_second: Number | None = None
    device: str | None = None
    devices: int | None = None


class TrainingRecord(Record):
    COMMANDS: ClassVar = ("train sft", "train grpo")
    counts: TrainingCounts


class SftRecord(Record):
    COMMANDS: ClassVar = ("train sft",)
    counts: SftCounts


class GrpoRecord(Record):
    COMMANDS: ClassVar = ("train grpo",)
    counts: GrpoCounts


class TrainDemoCounts(Counts):
    rows: dict[str, ByName]


class TrainDemoRecord(Record):
    COMMANDS: ClassVar = ("train demo",)
    counts: TrainDemoCounts


class Generation(Model):
    """What it took to get a model's answers."""

    unanswered: ByName
    finish_reasons: ByName
    engines: ByName
    completion_tokens: int
    template: list[str] = Field(default=[])
    """What the model's chat template does to prompts, the date that it writes among it; earlier versions lack it."""


class EvaluateCounts(Counts):
    generation: Generation | None = None
    """Absent where answers came from a file."""
    rows: int
    answered: int


class EvaluateRecord(Record):
    COMMANDS: ClassVar = ("evaluate",)
    counts: EvaluateCounts
