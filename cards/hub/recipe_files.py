"""Write what a credentialed reader needs to make the same rows: recipe, prompts, versions, split, statistics.

    recipe/stages.json       version, options and digests of inputs of each stage; no paths, no command lines
    recipe/recipe.yaml       the settings of the distillation
    recipe/prompts.md        the teacher's prompt, with placeholders in braces for the text of each row
    recipe/split.csv         which row is in which split, by fingerprint
    recipe/statistics.json   the counts that the card shows

The fingerprint of a row is HMAC-SHA256 of its note_id with its admission note as the key. A plain digest would reveal
the id: a note_id is one of ten million patients and a small number, all of which can be tried in a minute. A published
salt does not change that, and a secret one prevents comparison. The note is a key that only those have who may see the
row. Short notes can be guessed, so rows with fewer than fifty words are left out. Of credentialed rows, each split
leaves out none or those of at least ten patients, and a split whose size the card withholds is not listed: the list and
the card together reveal no group that is smaller.
"""

import hashlib
import hmac
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import yaml

from deepicd import records, storage
from deepicd.record_model import strip_local
from deepicd.schema import SPLITS
from deepicd.small_counts import has_count, is_small
from deepicd.stage_records import DistillRecord, PromptText

SHORTEST = 50  # words in a note that serves as key


def describe_stages(record: records.Record) -> dict[str, object]:
    """Return version, options and digests of inputs of each stage.

    A crawl is public, but its codes are the cohort's: of credentialed rows, no stage says how many it counted.
    """
    portable = records.make_portable(record.dump())
    stages = {**portable["lineage"], record.command: portable}
    credentialed = record.origin == "mimic"
    if credentialed and (scrape := stages.get("scrape")):
        scrape["options"].pop("codes", None)
    return {
        name: {key: stage[key] for key in ("version", "origin", "options", "inputs")}
        | {"notes": [note for note in stage["notes"] if not (credentialed and has_count(note))]}
        for name, stage in stages.items()
    }


def write_recipe(dataset: Path, record: records.Record, out: Path) -> None:
    """Write the files of OUT/recipe."""
    folder, distill = out / "recipe", record.require_upstream(DistillRecord)
    storage.write_json(folder / "stages.json", describe_stages(record))
    storage.write_text(
        folder / "recipe.yaml", yaml.safe_dump(strip_local(distill.options), sort_keys=False, allow_unicode=True)
    )
    if prompt := distill.counts.asked:
        storage.write_text(folder / "prompts.md", format_prompts(prompt))
    shown = storage.read_json(dataset / "card" / "statistics.json")
    storage.write_json(folder / "statistics.json", shown)
    withheld = {split for split in SPLITS if shown["counts"].get(f"rows/grpo/{split}", 0) is None}
    listed = list_splits(fingerprint_rows(dataset), credentialed=record.origin == "mimic", withheld=withheld)
    storage.write_text(folder / "split.csv", "row,split\n" + "".join(f"{row},{split}\n" for row, split in listed))


def format_prompts(prompt: PromptText) -> str:
    """Return the chat as Markdown, each turn in a code fence."""
    turns = [(turn["role"], turn["content"]) for turn in prompt.messages] + [("assistant begins with", prompt.opening)]
    parts = [f"## {role}\n\n~~~~text\n{text.rstrip()}\n~~~~\n" for role, text in turns]
    return f"# Prompt `{prompt.version}`\n\n" + "\n".join(parts)


def fingerprint_rows(dataset: Path) -> Iterator["ListedRow"]:
    """Yield each row of the cohort as it may be listed."""
    for path in sorted((dataset / "grpo").glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(2048, columns=["extra_info"]):
            for row in batch.column(0).to_pylist():
                print_of_row = fingerprint(row["note_id"], row["note"])
                patient = row["note_id"].partition("-")[0]
                yield ListedRow(len(row["note"].split()), print_of_row, row["split"], patient)


class ListedRow(NamedTuple):
    """A row for the list of splits."""

    words: int
    """In its note."""
    fingerprint: str
    split: str
    patient: str


def list_splits(
    rows: Iterable[ListedRow], *, credentialed: bool, withheld: Collection[str] = ()
) -> list[tuple[str, str]]:
    """Return fingerprint and split of the rows that may be listed, in an order that reveals nothing."""
    by_split: dict[str, list[ListedRow]] = {}
    for row in sorted(rows):  # the shortest notes first
        by_split.setdefault(row.split, []).append(row)
    listed: list[ListedRow] = []
    for split, ordered in by_split.items():
        left_out = sum(row.words < SHORTEST for row in ordered)
        while credentialed and left_out < len(ordered) and is_small(_count_patients(ordered[:left_out])):
            left_out += 1
        of_split = ordered[left_out:]
        if split not in withheld and not (credentialed and is_small(_count_patients(of_split))):
            listed += of_split
    return sorted((row.fingerprint, row.split) for row in listed)


def _count_patients(rows: Iterable[ListedRow]) -> int:
    return len({row.patient for row in rows})


def fingerprint(note_id: str, note: str) -> str:
    """Return the first 32 hex digits of HMAC-SHA256 of a note_id with the admission note as key."""
    return hmac.new(note.encode(), note_id.encode(), hashlib.sha256).hexdigest()[:32]
