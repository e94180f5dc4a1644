"""Writes the rows of a recipe from the ledger: kept and rejected attempts, in the cohort's order.

    OUT/<recipe digest>/kept/train-00000.parquet       of each rollout of a row the attempt that passed every check
    OUT/<recipe digest>/rejected/train-00000.parquet   every attempt that did not, text and reasons included

A file has `ROWS_PER_FILE` rows of the cohort, so the same row is always in the file of the same number.
"""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from deepicd import answer_form, storage
from deepicd.answer_form import Answer
from deepicd.log import track_progress
from deepicd.schema import EVIDENCE, TRACES
from deepicd.storage import Origin
from distill import checks
from distill.attempts import Attempt, History
from distill.prompt_builder import Prompt, PromptBuilder
from distill.sources import Row, Sources

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_FILE = 16_384  # of the cohort
ROW_GROUP = 512  # rows that are written at once
VERDICTS = ("kept", "rejected")
NO_ANSWER = "no answer"
TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens")


@dataclass
class Tally:
    """Counts of a folder of traces, for its record."""

    kept: Counter[str] = field(default_factory=Counter)  # by split; rows
    rejected: Counter[str] = field(default_factory=Counter)  # by split; rows without a kept attempt
    attempts: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # of the rows without a kept attempt, in their last attempt
    attempt_reasons: Counter[str] = field(default_factory=Counter)  # of all rejected attempts
    engines: Counter[str] = field(default_factory=Counter)  # name and version → attempts
    lengths: Counter[int] = field(default_factory=Counter)  # words → kept traces
    shares: dict[str, list[int]] = field(default_factory=dict)  # of kept traces: kind → [in the note, all]
    unanswered: Counter[str] = field(default_factory=Counter)  # the engine's reason → rows
    template_dates: Counter[str] = field(default_factory=Counter)  # that a server's template wrote → completions
    rare: Mapping[str, int] = field(default_factory=dict)  # code with a larger budget → rows
    of_rare: Counter[str] = field(default_factory=Counter)  # kept rows and attempts of these codes
    tokens: Counter[str] = field(default_factory=Counter)  # of all attempts
    rollouts_kept: Counter[int] = field(default_factory=Counter)  # kept rollouts of a row → rows

    def add(self, rows: list[Row]) -> None:
        """Count the attempts at one row of the cohort."""
        last = {row["rollout"]: row for row in rows}  # attempt at each rollout
        kept = [row for row in last.values() if not row["rejected_for"]]
        (self.kept if kept else self.rejected)[rows[0]["split"]] += 1
        self.rollouts_kept[len(kept)] += 1
        if rows[0]["icd_code"] in self.rare:
            asked = sum(row["completion"] is not None for row in rows)
            self.of_rare.update({"rows kept": int(bool(kept)), "attempts": asked})
        for row in rows:
            if row["completion"] is not None:
                self.attempts += 1
                self.engines[f"{row['engine']} {row['engine_version']}".strip()] += 1
                self.attempt_reasons.update(row["rejected_for"])
                self.tokens.update({name: row[name] or 0 for name in TOKENS})
        if not kept:
            self.reasons.update(list(dict.fromkeys(reason for row in last.values() for reason in row["rejected_for"])))
        for row in kept:
            self.lengths[row["words"]] += 1
            for kind in ("numbers", "drugs", "quotes"):
                share = self.shares.setdefault(kind, [0, 0])
                share[0] += row[f"{kind}_in_note"]
                share[1] += row[kind]

    @property
    def words(self) -> dict[str, int | float]:
        """Shortest, mean and longest kept trace; empty for none."""
        if not (total := self.lengths.total()):
            return {}
        mean = sum(words * rows for words, rows in self.lengths.items()) / total
        return {"min": min(self.lengths), "mean": round(mean, 1), "max": max(self.lengths)}

    @property
    def grounded(self) -> dict[str, float | None]:
        """Share of numbers, drugs and quotations that the note has; None without any."""
        return {kind: round(known / total, 4) if total else None for kind, (known, total) in self.shares.items()}


def write_traces(
    folder: Path, sources: Sources, history: History, *, limit: int | None, unanswered: Mapping[str, str]
) -> Tally:
    """Write the files of a recipe from the ledger, and count their rows. `unanswered`: key of a request → reason."""
    tally = Tally(rare=history.builder.budget.rare)
    numbered = _number_files(sources.read_rows(limit))
    with track_progress("rows written", sources.count(limit)) as advance:
        for (split, number), rows in groupby(numbered, key=lambda entry: entry[:2]):
            kept, rejected = (folder / verdict / f"{split}-{number:05d}.parquet" for verdict in VERDICTS)
            with (
                open_row_file(kept, TRACES, sources.origin) as keep,
                open_row_file(rejected, TRACES, sources.origin) as reject,
            ):
                for _, _, row in rows:
                    attempts = _list_attempts(split, row, history, unanswered, tally)
                    tally.add(attempts)
                    for attempt in attempts:
                        (reject if attempt["rejected_for"] else keep)(attempt)
                    advance(1)
    return tally


@contextmanager
def open_row_file(path: Path, schema: "pa.Schema", origin: Origin) -> Iterator[Callable[[Row], None]]:
    """Yield `add(row)`, which writes a parquet file with few rows in memory. The file appears when the block ends.

    Rows wait as lines of JSON: they take a fraction of the memory of dicts, and Arrow's reader of JSON, unlike its
    conversion of Python objects, does not import pandas (50 MiB).
    """
    lines: list[bytes] = []
    with storage.open_parquet_writer(path, schema, origin) as writer:

        def flush() -> None:
            if lines:
                writer.write_table(_parse_lines(lines, writer.schema))
            lines.clear()

        def add(row: Row) -> None:
            lines.append(json.dumps(row, ensure_ascii=False, allow_nan=False).encode())
            if len(lines) >= ROW_GROUP:
                flush()

        yield add
        flush()


def _parse_lines(lines: list[bytes], schema: "pa.Schema") -> "pa.Table":
    """Return lines of JSON as one table of one chunk."""
    from pyarrow import json as arrow_json

    content = b"\n".join(lines)
    return arrow_json.read_json(
        io.BytesIO(content),
        read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(content) + 1),
        parse_options=arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
    )


def _number_files(rows: Iterator[tuple[str, Row]]) -> Iterator[tuple[str, int, Row]]:
    """Yield (split, number of its file, row)."""
    for split, group in groupby(rows, key=lambda entry: entry[0]):
        for number, (_, row) in enumerate(group):
            yield split, number // ROWS_PER_FILE, row


def _list_attempts(split: str, row: Row, history: History, unanswered: Mapping[str, str], tally: Tally) -> list[Row]:
    """Return the attempts at a row as the files have them; where a completion is missing, a row that says why."""
    builder = history.builder
    prompt = builder.build(row)
    if isinstance(prompt, str):
        return [_build_empty_row(split, row, prompt)]
    rows: list[Row] = []
    missing: list[str] = []
    for rollout in map(prompt.for_rollout, range(builder.recipe.rollouts)):
        attempts = list(history.read_attempts(rollout))
        tally.template_dates.update(day for attempt in attempts if (day := attempt.entry.get("template_date")))
        common = {"attempts": len(attempts)}
        rows += [_build_row(split, rollout, attempt, builder) | common for attempt in attempts]
        if len(attempts) < rollout.attempts and not (attempts and not attempts[-1].reasons):
            missing.append(unanswered.get(history.find_key(rollout, len(attempts)), "not asked"))
            rows.append(_build_empty_row(split, row, NO_ANSWER) | _describe_prompt(rollout, builder) | common)
    tally.unanswered.update(missing[:1])
    is_kept = any(not attempt["rejected_for"] for attempt in rows)
    return [attempt | {"row_kept": is_kept} for attempt in rows]


def _build_empty_row(split: str, row: Row, reason: str) -> Row:
    return dict.fromkeys(TRACES.names) | {
        "note_id": row["note_id"],
        "split": split,
        "icd_code": row["icd_code"],
        "words": 0,
        "rejected_for": [reason],
        "attempts": 0,
        "row_kept": False,
    }


def _build_row(split: str, prompt: Prompt, attempt: Attempt, builder: PromptBuilder) -> Row:
    entry, findings = attempt.entry, attempt.findings
    parsed = answer_form.parse_answer(entry["text"])
    return {
        "note_id": prompt.note_id,
        "split": split,
        "icd_code": prompt.material.code.value,
        "trace": parsed.trace if isinstance(parsed, Answer) else None,
        "completion": entry["text"],
        "words": findings.words,
        "finish_reason": entry["finish_reason"],
        "rejected_for": attempt.reasons,
        "attempt": attempt.number + 1,
        **_describe_prompt(prompt, builder),
        **{name: entry[name] for name in ("engine", "engine_version", "seed")},
        **{name: entry[name] for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "seconds")},
        "checks": checks.VERSION,
        **{name: getattr(findings, name) for name in ("named_at", "giveaways", "repeated", "english", "other_script")},
        **{kind: getattr(findings, kind).total for kind in ("numbers", "drugs", "quotes")},
        **{f"{kind}_in_note": getattr(findings, kind).in_note for kind in ("numbers", "drugs", "quotes")},
        "verbatim": findings.verbatim,
        "evidence": [dict(zip(EVIDENCE.names, claim, strict=True)) for claim in findings.evidence],
    }


def _describe_prompt(prompt: Prompt, builder: PromptBuilder) -> Row:
    """Return how the teacher was prompted: the recipe, and the texts by digest."""
    recipe, material = builder.recipe, prompt.material
    return {
        "rollout": prompt.rollout + 1,
        "recipe": recipe.name,
        "recipe_digest": recipe.digest,
        "teacher": recipe.model,
        "revision": recipe.revision,
        **recipe.sampling,
        "prompt": recipe.prompt,
        "layout": recipe.layout,
        "prompt_sha256": prompt.sha256,
        "note_sha256": prompt.note_sha256,
        "description_code": material.description.code if material.description else None,
        "description_sha256": _digest(material.description.text if material.description else None),
        "guideline_chapter": material.code.chapter.number if material.guidelines else None,
        "guideline_text": prompt.guideline_text,
        "guidelines_sha256": _digest(material.guidelines),
    }


def _digest(text: str | None) -> str | None:
    return None if text is None else storage.digest_text(text)
