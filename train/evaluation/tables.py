"""`deepicd table`: the paper's Tables 3 and 4 with your own runs beside them, from their metrics.json.

A baseline without a language model stands in a table of its own. A run whose answers need no reasoning (`evaluate
--answers diagnosis`, for models tuned on the outcome alone) goes into Table 4, any other into Table 3. The figures are
those in the files; the notes name the conventions that were used.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from deepicd import records
from deepicd.evaluation_metrics import METRICS_FILE, Averaging, Interval, LevelMetrics, ReasoningMetrics, read_metrics
from deepicd.paper import MIMIC_REASON, REPORTED_ABLATIONS, REPORTED_SCORES, ReportedScores
from deepicd.stage_records import EvaluateRecord
from train.evaluation.metrics import LEVELS

BASELINES = 0
TITLES = {
    3: "Table 3: reasoning and diagnosis",
    4: "Table 4: diagnosis alone, without a trace",
    BASELINES: "Baselines without a language model",
}
MADE_UP = "made-up records"
REASONING_COLUMNS = (
    "traces", "words", "names its code", "in the first half", "sentences that weigh", "without any", "words repeated",
    "numbers grounded", "drugs grounded", "quotations grounded", "with invented vitals",
)  # fmt: skip


class Cells(TypedDict):
    """The figures of a run at one level, in percent."""

    recall: float | None
    precision: float | None
    f1: float
    f1_interval: Interval | None


class Row(TypedDict):
    """A row of a table."""

    table: int
    """3 or 4, as in the paper; 0 for a baseline."""
    source: str
    model: str
    rows: int
    averaging: Averaging | None
    chapter: Cells
    category: Cells
    full: Cells
    reasoning: dict[str, object] | None
    """ReasoningMetrics of all traces."""


def collect_rows(runs: Sequence[str]) -> list[Row]:
    """Return the paper's rows, then one per run (DIR, or NAME=DIR). Raises DeepicdError."""
    return [*map(_build_paper_row, REPORTED_SCORES), *map(_read_run, runs)]


def _build_paper_row(reported: ReportedScores) -> Row:
    cells: list[Cells] = [
        {"recall": recall, "precision": precision, "f1": f1, "f1_interval": None}
        for recall, precision, f1 in zip(reported.recall, reported.precision, reported.f1, strict=True)
    ]
    return {
        "table": reported.table,
        "source": "DeepICD-R1",
        "model": f"{reported.model}, {reported.stage}",
        "rows": MIMIC_REASON.rows["test"],
        "averaging": None,
        "chapter": cells[0],
        "category": cells[1],
        "full": cells[2],
        "reasoning": None,
    }


def _read_run(run: str) -> Row:
    name, has_name, folder = run.rpartition("=")
    if not has_name or Path(run).is_dir():
        name, folder = "", run
    record = records.require(Path(folder), EvaluateRecord)
    metrics = read_metrics(Path(folder) / METRICS_FILE)
    return {
        "table": _choose_table(record),
        "source": MADE_UP if record.origin == "synthetic" else "ours",
        "model": name or str(record.options.get("name") or Path(folder).name),
        "rows": metrics.rows,
        "averaging": metrics.averaging,
        "chapter": _to_percent(metrics.chapter),
        "category": _to_percent(metrics.category),
        "full": _to_percent(metrics.full),
        "reasoning": metrics.reasoning.overall.dump() if metrics.reasoning else None,
    }


def _choose_table(record: EvaluateRecord) -> int:
    if record.options.get("baseline"):
        return BASELINES
    return 4 if record.options.get("reading") == "diagnosis" else 3


def _to_percent(level: LevelMetrics) -> Cells:
    interval = level.interval["macro_f1"]
    return {
        "recall": 100 * level.macro_recall,
        "precision": 100 * level.macro_precision,
        "f1": 100 * level.macro_f1,
        "f1_interval": [100 * bound for bound in interval] if interval else None,
    }


def render_markdown(rows: Sequence[Row]) -> str:
    """Return both tables: recall, precision and F1 at each level in percent."""
    parts = []
    for number, title in TITLES.items():
        if all(row["table"] != number for row in rows):
            continue
        lines = [
            f"### {title}",
            "",
            "| model | source | notes | chapter R | P | F1 | category R | P | F1 | full R | P | F1 |",
            "|---|---|---:|" + "---:|" * 9,
            *(_render_row(row) for row in rows if row["table"] == number),
        ]
        parts.append("\n".join(lines))
    parts += _render_reasoning(rows)
    conventions = sorted({row["averaging"] for row in rows if row["averaging"]})
    ours = f"Ours: macro means over the classes of the convention {' and '.join(conventions)}" if conventions else ""
    notes = [
        "Macro averages in per cent. The paper does not say which classes its means are over"
        + (f". {ours}; in brackets 95 % intervals." if ours else ".")
    ]
    if any(row["source"] == MADE_UP for row in rows):
        notes.append("Runs on made-up records say nothing about medicine and are not comparable with the paper's.")
    return "\n\n".join([*parts, *notes]) + "\n"


def _render_reasoning(rows: Sequence[Row]) -> list[str]:
    """Return the traces of runs beside what the paper says of its own."""
    measured = [(row["model"], ReasoningMetrics.model_validate(row["reasoning"])) for row in rows if row["reasoning"]]
    if not measured:
        return []
    unknown = " | ".join(["–"] * (len(REASONING_COLUMNS) - 2))
    lines = [
        "### Reasoning",
        "",
        f"| model | {' | '.join(REASONING_COLUMNS)} |",
        f"|---|{'---:|' * len(REASONING_COLUMNS)}",
        f"| DeepICD-R1, traces of MIMIC-Reason | {MIMIC_REASON.samples:,} | {MIMIC_REASON.words_mean} | {unknown} |",
        *(
            f"| {name.replace('|', '/')} | {' | '.join(list_reasoning_cells(row, with_intervals=True))} |"
            for name, row in measured
        ),
    ]
    text = "The paper's ablations of traces come without figures: " + "; ".join(REPORTED_ABLATIONS) + "."
    return ["\n".join(lines), text]


def _render_row(row: Row) -> str:
    cells = [cell for level in LEVELS for cell in _render_cells(row[level])]
    return f"| {row['model'].replace('|', '/')} | {row['source']} | {row['rows']:,} | {' | '.join(cells)} |"


def _render_cells(cells: Cells) -> list[str]:
    recall, precision, f1 = (
        "–" if value is None else f"{value:.1f}" for value in (cells["recall"], cells["precision"], cells["f1"])
    )
    interval = cells["f1_interval"]
    return [recall, precision, f"{f1} [{interval[0]:.1f}, {interval[1]:.1f}]" if interval else f1]


def list_reasoning_cells(row: ReasoningMetrics, *, with_intervals: bool = False) -> list[str]:
    """Return the cells of REASONING_COLUMNS; '–' for what is not known or withheld."""

    def show(name: str, value: float | None, factor: float = 1) -> str:
        if value is None:
            return "–"
        ends = row.interval.get(name) if with_intervals else None
        text = f"{factor * value:,.1f}"
        return f"{text} [{factor * ends[0]:,.1f}, {factor * ends[1]:,.1f}]" if ends else text

    return [
        "–" if row.traces is None else f"{row.traces:,}",
        show("words", row.words),
        show("named", row.named, 100),
        show("named_early", row.named_early, 100),
        show("weighing", row.weighing),
        show("without_weighing", row.without_weighing, 100),
        show("repeated", row.repeated, 100),
        *(show(f"grounded.{name}", row.grounded.get(name), 100) for name in ("numbers", "drugs", "quotations")),
        show("invented_vitals", row.invented_vitals, 100),
    ]
