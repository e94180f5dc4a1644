"""`deepicd plan`: what a cohort will take, before anything runs: tokens, GPU-hours, requests, disk and memory.

    rows = build_plan(measure(cohort, …), recipe, pilot=None); print(format_plan(rows, assumptions))

Every figure is of one of three kinds, and its line says which: counted in the cohort, computed from a published rate
(distill.rates), or measured by a pilot of the same recipe. What it takes for granted is printed below the table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from deepicd.engines import metrics
from deepicd.engines.metrics import Sample
from deepicd.log import format_duration
from deepicd.paper import MIMIC_REASON
from distill.rates import MODELS, UNTUNED, estimate_rates
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
MIB = 2**20
CLIENT_MEMORY, CLIENT_ROW = 220 * MIB, 350  # resident, and what each waiting rollout and completion adds
BUILD_MEMORY = 1_300 * MIB  # two processes; benchmarks.build
ASSEMBLE_MEMORY, ASSEMBLE_CHARACTER = 300 * MIB, 4.5


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table; '' where a stage has no such figure."""

    stage: str
    what: str
    amount: str
    time: str = ""
    disk: str = ""
    memory: str = ""


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
    completions = workload.rows * recipe.rollouts
    pages = round(workload.codes * PAGES_PER_CODE) if pages is None else pages
    lines = [
        Line("build", "rows", f"{workload.rows:,}", "", _size(note + workload.rows * COHORT_ROW), _size(BUILD_MEMORY)),
        Line("scrape", "requests", f"{pages:,}", format_duration(pages * PAGE_DELAY), _size(pages * PAGE_BYTES)),
        *_list_prompts(workload, recipe),
        Line("distill", "tokens written", _count(workload.completion_tokens * recipe.rollouts)),
        *_list_models(workload, recipe),
    ]
    if pilot:
        lines.append(_describe_pilot(workload, recipe, pilot))
    bytes_of_traces = completions * (LEDGER_COMPLETION + TRACES_ROLLOUT)
    memory: float = CLIENT_MEMORY + completions * CLIENT_ROW
    lines.append(Line("distill", "ledger and traces", f"{completions:,}", "", _size(bytes_of_traces), _size(memory)))
    dataset = note * DATASET_NOTES + workload.rows * DATASET_ROW
    memory = ASSEMBLE_MEMORY + workload.rows * workload.note_characters * ASSEMBLE_CHARACTER
    lines.append(Line("assemble", "dataset", f"{workload.rows:,}", "", _size(dataset), _size(memory)))
    return lines


def _list_prompts(workload: Workload, recipe: Recipe) -> Iterator[Line]:
    """Yield the tokens of the prompts in each layout."""
    for layout, tokens in workload.layouts.items():
        total = tokens.count(workload.rows) * recipe.rollouts
        cached = 1 - _count_new(workload, recipe, layout) / total
        mark = " (this recipe)" if layout == recipe.layout else ""
        yield Line("distill", f"prompts, {layout} layout{mark}", f"{_count(total)} tokens, {cached:.0%} in the cache")


def _list_models(workload: Workload, recipe: Recipe) -> Iterator[Line]:
    """Yield GPU-hours by model, tuned and as vLLM comes."""
    new = _count_new(workload, recipe, recipe.layout)
    for model in MODELS:
        hours = estimate_rates(model.billions).count_hours(new, workload.completion_tokens * recipe.rollouts)
        memory = f"{_size(model.billions * 2e9)} on {model.gpus} GPU{'s'[: model.gpus > 1]}"
        what = f"{model.name}, H100"
        span = f"{_hours(hours / 8)} to {_hours(hours * UNTUNED / 8)} on 8"
        yield Line("distill", what, f"{hours:,.0f} to {hours * UNTUNED:,.0f} GPU-hours", span, "", memory)


def _describe_pilot(workload: Workload, recipe: Recipe, pilot: Pilot) -> Line:
    hours = workload.rows * recipe.rollouts / pilot.rows_per_second / 3600
    what = f"{recipe.model}, measured on {pilot.totals['rows']:,.0f} rollouts"
    device = f"{hours * pilot.devices:,.1f} device-hours"
    return Line("distill", what, device, f"{_hours(hours)} on {pilot.devices}")


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
    ]
    if pilot:
        lines.append("the measured line counts on the pilot's share of cached tokens, which is below that of the whole")
    return lines


def format_plan(lines: list[Line], assumptions: list[str]) -> str:
    """Return the table and what it takes for granted, as Markdown."""
    head = ("stage", "what", "amount", "time", "disk", "memory")
    cells = [head, *((e.stage, e.what, e.amount, e.time, e.disk, e.memory) for e in lines)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    rows = [f"| {' | '.join(row)} |" for row in padded]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([rows[0], rule, *rows[1:], "", "Taken for granted:", *(f"- {line}" for line in assumptions)])


def _count(number: float) -> str:
    if number >= 1e9:
        return f"{number / 1e9:,.2f} G"
    return f"{number / 1e6:,.1f} M" if number >= 1e6 else f"{number:,.0f}"


def _size(number: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{ceil(number / 1e3)} kB"


def _hours(hours: float) -> str:
    return format_duration(hours * 3600)
