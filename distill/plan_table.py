"""`deepicd plan`: what a cohort will take, before anything runs: tokens, GPU-hours, requests, disk and memory.

    rows = build_plan(measure(cohort, …), recipe, pilot=None); print(format_plan(rows, limits, assumptions))

Every figure is of one of three kinds, and its line says which: counted in the cohort, computed from a published rate
(distill.plan_stages), or measured by a pilot of the same recipe. What it takes for granted is printed below the table,
and what gives way first as a cohort grows: the rows at which a stage outgrows one machine of eight H100, 64 GB of main
memory and 4 TB of disk, where nobody waits for longer than a week.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deepicd.engines import metrics
from deepicd.engines.metrics import Sample
from deepicd.log import format_duration
from deepicd.paper import MIMIC_REASON
from distill.plan_stages import (
    ASSUMPTIONS,
    CARD_ROW,
    GB,
    MIB,
    MODELS,
    SCORE_BYTES,
    UNTUNED,
    VERIFIED_BYTES,
    Line,
    Model,
    estimate_rates,
    format_count,
    format_gpu_hours,
    format_hours,
    format_size,
    list_publication,
    list_training,
    list_verification,
)
from distill.recipe import Layout, Recipe
from distill.workload import Workload

PAGES_PER_CODE = 1.6  # a code's own page and those of its parents, which codes share; without a cohort
PAGE_DELAY = 1.0  # seconds between two requests to the public site, at least
PAGE_BYTES = 25_000  # of a page as it is kept, compressed

# Bytes for traces as long as the paper's, from what the stages write; a note's text is taken to shrink to NOTE_SHARE
NOTE_SHARE = 0.4  # of its characters, zstd; assumed, since made-up notes shrink further
COHORT_ROW = 100
LEDGER_COMPLETION = 4_600
TRACES_ROLLOUT = 2_000
DATASET_ROW = 3_000
DATASET_NOTES = 4  # times that the three configs hold a note
# of 1,000 rows with 512 in flight (benchmarks.distill_client); per rollout from 10,000 to 100,000 (benchmarks.distill)
CLIENT_MEMORY, CLIENT_ROW = 140 * MIB, 550
BUILD_MEMORY = 1_300 * MIB  # two processes; benchmarks.build
ASSEMBLE_MEMORY = 420 * MIB  # a row group per config; benchmarks.scaling

# The machine that limits are for; what it does is linear in the rows
GPUS, MEMORY, DISK, HOURS = 8, 64 * GB, 4_000 * GB, 7 * 24
LIMITS_HEADING = "What gives way first, on eight H100 with 64 GB of memory and 4 TB of disk, within a week:"
CHECKED_PER_SECOND = 130  # traces per core, with evidence (benchmarks.evidence)


@dataclass(frozen=True, slots=True, order=True)
class Limit:
    """The number of rows at which something gives way, and what to do then."""

    rows: int
    what: str
    then: str

    def __str__(self) -> str:
        return f"about {format_count(self.rows)} rows: {self.what}; {self.then}"


@dataclass(frozen=True, slots=True)
class Pilot:
    """What `--pilot` measured with the same recipe."""

    totals: Sample
    devices: int

    @property
    def rows_per_second(self) -> float:
        return self.totals["rows"] / self.totals["seconds"]


def read_pilot(traces: Path, recipe: Recipe) -> Pilot | None:
    """Return what was measured with a recipe in the folder of `deepicd distill`; None where nothing was."""
    series = metrics.read_series(traces, recipe.digest)
    if not series or not series[-1]["seconds"] or not series[-1]["rows"]:
        return None
    return Pilot(series[-1], recipe.tensor_parallel * recipe.data_parallel)


def build_plan(workload: Workload, recipe: Recipe, pilot: Pilot | None, pages: int | None = None) -> list[Line]:
    """Return the lines of the table. `pages`: that the crawl requests, where the codes are known."""
    note = workload.rows * workload.note_characters * NOTE_SHARE
    cohort = note + workload.rows * COHORT_ROW
    dataset = note * DATASET_NOTES + workload.rows * DATASET_ROW
    completions = workload.rows * recipe.rollouts
    pages = round(workload.codes * PAGES_PER_CODE) if pages is None else pages
    lines = [
        Line("build", "rows", f"{workload.rows:,}", "", format_size(cohort), format_size(BUILD_MEMORY)),
        Line("scrape", "requests", f"{pages:,}", format_duration(pages * PAGE_DELAY), format_size(pages * PAGE_BYTES)),
        *_list_prompts(workload, recipe),
        Line("distill", "tokens written", format_count(workload.completion_tokens * recipe.rollouts)),
        *_list_models(workload, recipe),
    ]
    if pilot:
        lines.append(_describe_pilot(workload, recipe, pilot))
    traces = format_size(completions * (LEDGER_COMPLETION + TRACES_ROLLOUT))
    memory = format_size(CLIENT_MEMORY + completions * CLIENT_ROW)
    return [
        *lines,
        Line("distill", "ledger and traces", f"{completions:,}", "", traces, memory),
        *list_verification(workload, recipe.rollouts),
        Line("assemble", "dataset", f"{workload.rows:,}", "", format_size(dataset), format_size(ASSEMBLE_MEMORY)),
        *list_training(workload),
        *list_publication(workload.rows, dataset),
    ]


def find_limits(workload: Workload, recipe: Recipe) -> list[Limit]:
    """Return what gives way as the rows grow, and at how many, in the order in which the limits are met."""
    return sorted(_list_limits(workload, recipe))


def _list_limits(workload: Workload, recipe: Recipe) -> Iterator[Limit]:
    model = find_model(recipe)
    new = _count_new(workload, recipe, recipe.layout)
    hours = estimate_rates(model.billions).count_hours(new, workload.completion_tokens * recipe.rollouts)
    of_rollout = LEDGER_COMPLETION + TRACES_ROLLOUT + SCORE_BYTES + VERIFIED_BYTES
    note = workload.note_characters * NOTE_SHARE
    disk = COHORT_ROW + DATASET_ROW + note * (1 + DATASET_NOTES) + recipe.rollouts * of_rollout
    yield Limit(
        int(GPUS * HOURS / (hours * UNTUNED / workload.rows)),
        f"{model.name} needs more than a week on {GPUS} H100, untuned",
        "use several nodes (--shard, --engine ray), tune the server, or make fewer rollouts",
    )
    yield Limit(
        int(HOURS * 3600 * CHECKED_PER_SECOND / recipe.rollouts),
        "checks need more than a week on one core",
        "divide the run: --workers, --shard",
    )
    yield Limit(int(DISK / disk), f"all stages need more than {DISK / 1e12:.0f} TB of disk", "use s3:// or NFS")
    yield Limit(
        int(MEMORY / (recipe.rollouts * CLIENT_ROW)),
        f"the plan of one `distill` process needs more than {MEMORY / GB:.0f} GB of memory",
        "divide the run: each shard holds only its own rows",
    )
    yield Limit(
        int(MEMORY / CARD_ROW),
        f"`card` needs more than {MEMORY / GB:.0f} GB of memory",
        "describe the dataset in parts; nothing of ours divides a card",
    )


def find_model(recipe: Recipe) -> Model:
    """Return the recipe's model, or the default recipe's where there is no rate for it."""
    named = (model for model in MODELS if recipe.model.endswith(model.name))
    return next(named, MODELS[1])


def _list_prompts(workload: Workload, recipe: Recipe) -> Iterator[Line]:
    """Yield the tokens of the prompts in each layout."""
    for layout, tokens in workload.layouts.items():
        total = tokens.count(workload.rows) * recipe.rollouts
        cached = 1 - _count_new(workload, recipe, layout) / total
        mark = " (this recipe)" if layout == recipe.layout else ""
        amount = f"{format_count(total)} tokens, {cached:.0%} in the cache"
        yield Line("distill", f"prompts, {layout} layout{mark}", amount)


def _list_models(workload: Workload, recipe: Recipe) -> Iterator[Line]:
    """Yield GPU-hours by model, tuned and as vLLM comes."""
    new = _count_new(workload, recipe, recipe.layout)
    for model in MODELS:
        hours = estimate_rates(model.billions).count_hours(new, workload.completion_tokens * recipe.rollouts)
        memory = f"{format_size(model.billions * 2e9)} on {model.gpus} GPU{'s'[: model.gpus > 1]}"
        what = f"{model.name}, H100"
        span = f"{format_hours(hours / 8)} to {format_hours(hours * UNTUNED / 8)} on 8"
        yield Line("distill", what, format_gpu_hours(hours, hours * UNTUNED), span, "", memory)


def _describe_pilot(workload: Workload, recipe: Recipe, pilot: Pilot) -> Line:
    hours = workload.rows * recipe.rollouts / pilot.rows_per_second / 3600
    what = f"{recipe.model}, measured on {pilot.totals['rows']:,.0f} rollouts"
    device = f"{hours * pilot.devices:,.1f} device-hours"
    return Line("distill", what, device, f"{format_hours(hours)} on {pilot.devices}")


def _count_new(workload: Workload, recipe: Recipe, layout: Layout) -> int:
    """Return the prompt tokens that a model has to read; further rollouts of a row find its prompt in the cache."""
    return workload.layouts[layout].count_new(workload.rows, workload.codes)


def list_assumptions(workload: Workload, recipe: Recipe, pilot: Pilot | None) -> list[str]:
    """Return what the table takes for granted."""
    lines = [
        f"tokens by {workload.counted_by}; traces as long as the paper's ({MIMIC_REASON.words_mean} words),"
        f" {recipe.rollouts} rollout{'s'[: recipe.rollouts > 1]} per row with one attempt each"
        f" (at most {recipe.attempts})",
        *workload.assumptions,
        "the prefix cache holds the prompt before and nothing older",
        "GPU-hours: NVIDIA's published rates for H100 (TensorRT-LLM 1.0, prompts of 2,048 tokens, FP8 halved for"
        f" bfloat16), interpolated by size; the larger figure is {UNTUNED:.1f} times that, as untuned vLLM took in"
        " GPUStack's published comparison",
        f"disk: notes shrink to {NOTE_SHARE:.0%} of their characters; memory: of each stage's largest process",
        "a page per second from the public site, as its robots.txt and our pace have it",
        *ASSUMPTIONS,
    ]
    if pilot:
        lines.append("the measured line counts on the pilot's share of cached tokens, which is below that of the whole")
    return lines


def format_plan(lines: list[Line], limits: list[Limit], assumptions: list[str]) -> str:
    """Return the table, what gives way first, and what both take for granted, as Markdown."""
    head = ("stage", "what", "amount", "time", "disk", "memory")
    cells = [head, *((e.stage, e.what, e.amount, e.time, e.disk, e.memory) for e in lines)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    rows = [f"| {' | '.join(row)} |" for row in padded]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    ends = ["", LIMITS_HEADING, *(f"- {limit}" for limit in limits)]
    return "\n".join(
        [rows[0], rule, *rows[1:], *ends, "", "Taken for granted:", *(f"- {line}" for line in assumptions)]
    )
