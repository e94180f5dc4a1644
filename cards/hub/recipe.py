"""What lets another credentialed reader make the same rows: recipe, prompts, versions, split, aggregate statistics.

    recipe/stages.json       each stage's version, options and digests of inputs; no paths, no command lines
    recipe/recipe.yaml       the settings of the distillation
    recipe/prompts.md        what the teacher was asked, with names in braces for what each row has of its own
    recipe/split.csv         which row is in which split, by fingerprint
    recipe/statistics.json   counts, small cells withheld where the rows are credentialed

The fingerprint of a row is HMAC-SHA256 of its note_id under its own admission note as the key. A plain digest of an id
would be as good as the id: a note_id is one of ten million patients and a small number, all tried in a minute. A salt
that is published with it changes nothing, and one that is kept helps nobody to compare. The note is the key that
exactly those have who may see the row, and nobody else can guess. Short notes can be guessed, though, so rows under
fifty words are left out and counted.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from cards.statistics import SMALLEST_CELL, funnel_steps, statistics
from deepicd import runs, store
from deepicd.icd10cm import CHAPTERS

SHORTEST = 50  # words of a note that is a key
_LOCAL = {"argv", "base_url", "contact", "path", "running", "series"}
"""Keys of records that tell of the machine or of who ran it."""
_PATH = re.compile(r"^(~|/|[A-Za-z]:[\\/]|\.{1,2}[\\/])")


def portable(value: Any) -> Any:
    """A record without command lines, paths and addresses, however deep they stand."""
    if isinstance(value, Mapping):
        return {key: portable(entry) for key, entry in value.items() if key not in _LOCAL}
    if isinstance(value, list):
        return [portable(entry) for entry in value]
    if isinstance(value, str) and _PATH.match(value):
        return re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    return value


def stages(record: runs.Record) -> dict[str, Any]:
    """Of each stage: version, options and inputs' digests."""
    every = {**record["lineage"], record["command"]: record}
    return {
        name: {key: portable(stage[key]) for key in ("version", "origin", "options", "inputs", "notes")}
        for name, stage in every.items()
    }


def write(dataset: Path, record: runs.Record, out: Path) -> None:
    """Write the files below out/recipe."""
    folder, distilled = out / "recipe", record["lineage"]["distill"]
    store.write_json(folder / "stages.json", stages(record))
    store.write_text(
        folder / "recipe.yaml", yaml.safe_dump(portable(distilled["options"]), sort_keys=False, allow_unicode=True)
    )
    if asked := distilled["counts"].get("asked"):
        store.write_text(folder / "prompts.md", prompts(asked))
    rows = sorted(fingerprints(dataset))  # the shortest notes first
    short = sum(words < SHORTEST for words, _, _ in rows)
    if record["origin"] == "mimic" and 0 < short < SMALLEST_CELL:
        short = SMALLEST_CELL
    lines = sorted(f"{print_},{split}\n" for _, print_, split in rows[short:])
    store.write_text(folder / "split.csv", "row,split\n" + "".join(lines))
    found = counted(dataset, record)
    found["split.csv"] = {"rows": len(lines), "left out, the shortest notes": min(short, len(rows))}
    store.write_json(folder / "statistics.json", found)


def prompts(asked: Mapping[str, Any]) -> str:
    """The chat as Markdown, each turn in a fence that its own text does not have."""
    turns = [(turn["role"], turn["content"]) for turn in asked["messages"]] + [
        ("assistant begins with", asked["opening"])
    ]
    parts = [f"## {role}\n\n~~~~text\n{text.rstrip()}\n~~~~\n" for role, text in turns]
    return f"# Prompt `{asked['version']}`\n\n" + "\n".join(parts)


def fingerprints(dataset: Path) -> Iterator[tuple[int, str, str]]:
    """Words of the note, fingerprint and split of each row of the cohort."""
    for path in sorted((dataset / "grpo").glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(2048, columns=["extra_info"]):
            for row in batch.column(0).to_pylist():
                yield len(row["note"].split()), fingerprint(row["note_id"], row["note"]), row["split"]


def fingerprint(note_id: str, note: str) -> str:
    """HMAC-SHA256 of a note_id under the admission note, 32 hex digits of it."""
    return hmac.new(note.encode(), note_id.encode(), hashlib.sha256).hexdigest()[:32]


def counted(dataset: Path, record: runs.Record) -> dict[str, Any]:
    """Aggregates, as the card has them."""
    origin = record["origin"]
    found = statistics(dataset, origin)
    counts = {
        "rows": found.rows,
        "codes": found.codes,
        "chapters": {chapter.roman: found.chapters[chapter.number] for chapter in CHAPTERS},
        "mean words of a trace": round(sum(found.words) / len(found.words), 1) if found.words else 0,
        "funnel": funnel_steps(record["lineage"]["build"]["counts"]["funnel"]["steps"], origin),
    }
    return {name: _said(value) for name, value in counts.items()}


def _said(value: Any) -> Any:
    """A suppressed cell (None) in words."""
    if isinstance(value, Mapping):
        return {key: _said(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_said(entry) for entry in value]
    return "withheld" if value is None else value
