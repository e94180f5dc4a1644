"""From the ledger to the rows of a recipe: kept and rejected attempts, in the cohort's order.

    OUT/<recipe digest>/kept/train-00000.parquet       the attempt of each row that passed every check
    OUT/<recipe digest>/rejected/train-00000.parquet   every attempt that did not, text and reasons included

Files are numbered by rows of the cohort, `SHARD` to each, so the same row is always in the file of the same number.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from deepicd import answer_form, storage
from deepicd.answer_form import Answer
from deepicd.log import track_progress
from deepicd.schema import TRACES
from deepicd.storage import Origin
from distill import checks
from distill.attempts import Attempt, History
from distill.prompt_builder import Desk, Prompt
from distill.row_file import row_file
from distill.sources import Row, Sources

SHARD = 16_384  # rows of the cohort a file
VERDICTS = ("kept", "rejected")
NO_ANSWER = "no answer"


@dataclass
class Tally:
    """What a folder of traces holds, for its record."""

    kept: Counter[str] = field(default_factory=Counter)  # by split; rows
    rejected: Counter[str] = field(default_factory=Counter)  # by split; rows without a kept attempt
    attempts: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # of the rows without a kept attempt, in their last attempt
    attempt_reasons: Counter[str] = field(default_factory=Counter)  # of all rejected attempts
    engines: Counter[str] = field(default_factory=Counter)  # name and version → attempts
    lengths: Counter[int] = field(default_factory=Counter)  # words → kept traces
    shares: dict[str, list[int]] = field(default_factory=dict)  # of kept traces: kind → [in the note, all]
    unanswered: Counter[str] = field(default_factory=Counter)  # the engine's reason → rows

    def add(self, rows: list[Row]) -> None:
        """The attempts at one row of the cohort."""
        last = rows[-1]
        (self.kept if last["row_kept"] else self.rejected)[last["split"]] += 1
        for row in rows:
            if row["completion"] is not None:
                self.attempts += 1
                self.engines[f"{row['engine']} {row['engine_version']}".strip()] += 1
                self.attempt_reasons.update(row["rejected_for"])
        if not last["row_kept"]:
            self.reasons.update(last["rejected_for"])
            return
        self.lengths[last["words"]] += 1
        for kind in ("numbers", "drugs", "quotes"):
            share = self.shares.setdefault(kind, [0, 0])
            share[0] += last[f"{kind}_in_note"]
            share[1] += last[kind]

    def counts(self) -> dict[str, Any]:
        total = self.lengths.total()
        mean = sum(words * rows for words, rows in self.lengths.items()) / total if total else 0
        return {
            "kept": dict(self.kept),
            "rejected": dict(self.rejected),
            "reasons": dict(self.reasons.most_common()),
            "attempts": self.attempts,
            "attempts_rejected_for": dict(self.attempt_reasons.most_common()),
            "engines": dict(self.engines.most_common()),
            "words": {"min": min(self.lengths), "mean": round(mean, 1), "max": max(self.lengths)} if total else {},
            "grounded": {kind: round(found / of, 4) if of else None for kind, (found, of) in self.shares.items()},
            "unanswered": dict(self.unanswered.most_common()),
        }


def write(
    folder: Path,
    sources: Sources,
    history: History,
    origin: Origin,
    *,
    limit: int | None = None,
    unanswered: Mapping[str, str] | None = None,
) -> Tally:
    """Write the files of a recipe from what the ledger holds; what they hold. `unanswered`: request → reason."""
    tally, failed = Tally(), unanswered or {}
    numbered = _numbered(sources.rows(limit))
    with track_progress("rows written", sources.count(limit)) as advance:
        for (split, number), rows in groupby(numbered, key=lambda entry: entry[:2]):
            kept, rejected = (folder / verdict / f"{split}-{number:05d}.parquet" for verdict in VERDICTS)
            with row_file(kept, TRACES, origin) as keep, row_file(rejected, TRACES, origin) as reject:
                for _, _, row in rows:
                    attempts = attempts_at(split, row, history, failed, tally)
                    tally.add(attempts)
                    for attempt in attempts:
                        (reject if attempt["rejected_for"] else keep)(attempt)
                    advance(1)
    return tally


def _numbered(rows: Iterator[tuple[str, Row]]) -> Iterator[tuple[str, int, Row]]:
    """(split, number of its file, row)."""
    for split, group in groupby(rows, key=lambda entry: entry[0]):
        for place, (_, row) in enumerate(group):
            yield split, place // SHARD, row


def attempts_at(split: str, row: Row, history: History, failed: Mapping[str, str], tally: Tally) -> list[Row]:
    """A row's attempts as the files have them; for a row without any answer one that says why."""
    asked = history.desk.prompt(row)
    if isinstance(asked, str):
        return [_unanswered(split, row, asked)]
    made = list(history.attempts(asked))
    kept = bool(made) and not made[-1].reasons
    rows = [_row(split, asked, attempt, history.desk) | {"attempts": len(made), "row_kept": kept} for attempt in made]
    if not kept and len(made) < history.desk.recipe.attempts:
        tally.unanswered[failed.get(history.desk.key(asked, len(made)), "not asked")] += 1
        rows.append(_unanswered(split, row, NO_ANSWER) | _shown(asked, history.desk) | {"attempts": len(made)})
    return rows


def _unanswered(split: str, row: Row, reason: str) -> Row:
    return dict.fromkeys(TRACES.names) | {
        "note_id": row["note_id"],
        "split": split,
        "icd_code": row["icd_code"],
        "words": 0,
        "rejected_for": [reason],
        "attempts": 0,
        "row_kept": False,
    }


def _row(split: str, asked: Prompt, attempt: Attempt, desk: Desk) -> Row:
    entry, found = attempt.entry, attempt.found
    parsed = answer_form.parse_answer(entry["text"])
    return {
        "note_id": asked.note_id,
        "split": split,
        "icd_code": asked.material.code.value,
        "trace": parsed.trace if isinstance(parsed, Answer) else None,
        "completion": entry["text"],
        "words": found.words,
        "finish_reason": entry["finish_reason"],
        "rejected_for": attempt.reasons,
        "attempt": attempt.number + 1,
        **_shown(asked, desk),
        **{name: entry[name] for name in ("engine", "engine_version", "seed")},
        **{name: entry[name] for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "seconds")},
        "checks": checks.VERSION,
        **{name: getattr(found, name) for name in ("named_at", "giveaways", "repeated", "english", "other_script")},
        **{kind: getattr(found, kind).of for kind in ("numbers", "drugs", "quotes")},
        **{f"{kind}_in_note": getattr(found, kind).found for kind in ("numbers", "drugs", "quotes")},
        "verbatim": found.verbatim,
    }


def _shown(asked: Prompt, desk: Desk) -> Row:
    """What the teacher was asked with: the recipe, and the texts by digest."""
    recipe, material = desk.recipe, asked.material
    return {
        "recipe": recipe.name,
        "recipe_digest": recipe.digest,
        "teacher": recipe.model,
        "revision": recipe.revision,
        **recipe.sampling,
        "prompt": recipe.prompt,
        "layout": recipe.layout,
        "prompt_sha256": asked.payload,
        "note_sha256": asked.note_sha256,
        "description_code": material.description.code if material.description else None,
        "description_sha256": _digest(material.description.text if material.description else None),
        "guideline_chapter": material.code.chapter.number if material.guidelines else None,
        "guideline_text": asked.guideline_text,
        "guidelines_sha256": _digest(material.guidelines),
    }


def _digest(text: str | None) -> str | None:
    return None if text is None else storage.digest_text(text)
