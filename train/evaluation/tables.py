"""`deepicd train table`: the paper's Tables 3 and 4 with runs of one's own beside them, from their metrics.json.

A run whose answers need no reasoning (`evaluate --answers diagnosis`, as models tuned on the outcome alone answer) goes
into Table 4, any other into Table 3. What is printed is what stands in the files; a run that was measured by another
convention than the others says so.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.paper import MIMIC_REASON, REPORTED_SCORES
from train.evaluation.metrics import LEVELS

Row = dict[str, Any]
MEASURES = ("recall", "precision", "f1")
TITLES = {3: "Table 3: reasoning and diagnosis", 4: "Table 4: diagnosis alone, without a trace"}


def collect_rows(places: Sequence[str]) -> list[Row]:
    """The paper's rows, then one for each run (DIR, or NAME=DIR). Raises DeepicdError."""
    published: list[Row] = [
        {
            "table": row.table,
            "source": "DeepICD-R1",
            "model": f"{row.model}, {row.stage}",
            "rows": MIMIC_REASON.rows["test"],
            "averaging": None,
            **{
                level: {name: getattr(row, name)[place] for name in MEASURES} | {"f1_interval": None}
                for place, level in enumerate(map(str, LEVELS))
            },
        }
        for row in REPORTED_SCORES
    ]
    return published + [_ours(place) for place in places]


def _ours(place: str) -> Row:
    name, named, path = place.rpartition("=")
    if not named or Path(place).is_dir():
        name, path = "", place
    record = records.require(Path(path), "evaluate")
    found = storage.read_json(Path(path) / "metrics.json")
    try:
        measured = {str(level): _in_per_cent(found[level]) for level in LEVELS}
        shared = {"rows": found["rows"], "averaging": found["averaging"]}
    except (KeyError, TypeError) as error:
        raise DeepicdError(
            f"{path}/metrics.json is of another version.", "Evaluate again, with --overwrite."
        ) from error
    options = record.options
    return {
        "table": 4 if options.get("reading") == "diagnosis" else 3,
        "source": "made-up records" if record.origin == "synthetic" else "ours",
        "model": name or options.get("name") or Path(path).name,
        **shared,
        **measured,
    }


def _in_per_cent(level: Any) -> dict[str, Any]:
    near = level["interval"]["macro_f1"]
    return {name: 100 * level[f"macro_{name}"] for name in MEASURES} | {
        "f1_interval": [100 * bound for bound in near] if near else None
    }


def render_markdown(table: Sequence[Row]) -> str:
    """Both tables, recall, precision and F1 at each level in per cent."""
    parts = []
    for number, title in TITLES.items():
        own = [row for row in table if row["table"] == number]
        lines = [
            f"### {title}",
            "",
            "| model | source | notes | chapter R | P | F1 | category R | P | F1 | full R | P | F1 |",
            "|---|---|---:|" + "---:|" * 9,
            *(_line(row) for row in own),
        ]
        parts.append("\n".join(lines))
    conventions = sorted({row["averaging"] for row in table if row["averaging"]})
    said = f"Ours: macro means over the classes of the convention {' and '.join(conventions)}" if conventions else ""
    notes = [
        "Macro averages in per cent. The paper does not say which classes its means are over"
        + (f". {said}; in brackets 95 % bootstrap intervals." if said else ".")
    ]
    if any(row["source"] == "made-up records" for row in table):
        notes.append("Runs on made-up records say nothing about medicine and are not comparable with the paper's.")
    return "\n\n".join([*parts, *notes]) + "\n"


def _line(row: Row) -> str:
    cells = [cell for level in LEVELS for cell in _cells(row[level])]
    return f"| {row['model'].replace('|', '/')} | {row['source']} | {row['rows']:,} | {' | '.join(cells)} |"


def _cells(level: dict[str, Any]) -> list[str]:
    recall, precision, f1 = ("–" if level[name] is None else f"{level[name]:.1f}" for name in MEASURES)
    near = level["f1_interval"]
    return [recall, precision, f"{f1} [{near[0]:.1f}, {near[1]:.1f}]" if near else f1]
