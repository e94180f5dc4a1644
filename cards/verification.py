"""What a dataset's card says of its verification: what was borne out, lift by chapter, the selection, what it cost.

Counts are of the config `verified`, which has one trace per row, and go through small counts like all others; the
selection and the cost are of the records, which know all completions.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from cards.counts import ChapterRow
from cards.further_configs import VERDICTS, VerifiedStatistics
from deepicd.small_counts import SMALLEST_CELL, PublishedCounts
from deepicd.stage_records import AssembleRecord, DistillRecord, VerifyCounts, VerifyRecord

LEVELS = ("another chapter", "the chapter", "the category", "the code")


def summarize_verification(
    record: AssembleRecord,
    verified: VerifiedStatistics | None,
    shown: PublishedCounts,
    chapters: Sequence[ChapterRow],
    *,
    is_free: bool,
) -> dict[str, Any] | None:
    """Return the fields of the card's section; None for a dataset without verification.

    `counts` is None where the config is left out. What only records count is withheld of credentialed rows.
    """
    upstream = record.find_upstream(VerifyRecord)
    if upstream is None or "verified" not in record.inputs:
        return None
    found, options = upstream.counts, upstream.options
    asks_model = bool(found.levels or found.met is not None or found.unread)
    return {
        "recipe": options.get("name"),
        "checks": options.get("checks"),
        "verifier": options.get("model") if asks_model else None,
        "is_rehearsed": asks_model and options.get("engine_has_model") is False,
        "select": record.options.get("select"),
        "counts": None if verified is None else {
            "kinds": list_kinds(verified, shown),
            "reasons": [(reason, shown["failed", reason]) for reason in verified.reasons],
            "lift": list_lifts(verified, shown, chapters, is_free=is_free),
            "selection": list_selection(shown),
            "tokens": list(_list_tokens(record, shown)),
            "more": list(_list_more(record, found)) if is_free else None,
        },
    }  # fmt: skip


def list_kinds(verified: VerifiedStatistics, shown: PublishedCounts) -> list[tuple[str, dict[str, int | None]]]:
    """Return category → verdict, and 'all' → expectations; None where withheld."""
    return [
        (category, {name: shown["forecast", category, name] for name in (*VERDICTS, "all")})
        for category in verified.categories
    ]


def list_lifts(
    verified: VerifiedStatistics, shown: PublishedCounts, chapters: Sequence[ChapterRow], *, is_free: bool
) -> list[tuple[str, str, float | None]]:
    """Return (numeral, title, mean lift) of the chapters that have any, to a tenth; None where withheld.

    Of credentialed rows a mean is shown where the chapter's traces are counted and ten patients have one. No mean over
    all chapters is shown, which would tell of the withheld ones.
    """
    listed = []
    for row in chapters:
        lifts = [lift for number in row.numbers for lift in verified.lifts.get(number, ())]
        people = len(set().union(*(verified.lift_patients.get(number, set()) for number in row.numbers)))
        is_shown = is_free or (people >= SMALLEST_CELL and shown["chapter", row.key, "traces"] is not None)
        if lifts:
            listed.append((row.roman, row.title, round(sum(lifts) / len(lifts), 1) if is_shown else None))
    return listed


def list_selection(shown: PublishedCounts) -> list[tuple[str, int | None]]:
    """Return the steps from completions to the traces of the dataset."""
    kept = shown["rows", "traces", "all"]
    return [
        ("completions", shown["attempts"]),
        ("passed the checks", shown.counts.get("rollouts", kept)),
        ("verified, of all kept", shown.counts.get("verified traces")),
        ("in the dataset", kept),
    ]


def _list_tokens(record: AssembleRecord, shown: PublishedCounts) -> Iterator[tuple[str, float, float]]:
    """Yield stage, tokens read and tokens written, both per row with a trace; nothing where that count is withheld."""
    rows = shown["rows", "traces", "all"]
    distill, verify = record.find_upstream(DistillRecord), record.find_upstream(VerifyRecord)
    for name, counted in (
        ("distill", distill.counts.tokens if distill else {}),
        ("verify", verify.counts.tokens if verify else {}),
    ):
        if rows and any(counted.values()):
            yield name, counted.get("prompt_tokens", 0) / rows, counted.get("completion_tokens", 0) / rows


def _list_more(record: AssembleRecord, counts: VerifyCounts) -> Iterator[tuple[str, str]]:
    if counts.nameable:
        yield "other diagnoses of the stay that are named", f"{counts.covered:,} of {counts.nameable:,}"
    for what, levels in counts.levels.items():
        parts = (f"{LEVELS[int(level)]} {number:,}" for level, number in levels.items())
        yield f"answers {what.replace('from ', 'from the ')}", ", ".join(parts)
    if counts.met is not None:
        yield "points of the stay met", f"{counts.met:.0%}"
    for what, number in counts.unread.items():
        yield f"without {what} that can be read", f"{number:,}"
    if chosen := record.counts.chosen_by:
        yield "a row's trace was chosen by", ", ".join(f"{name} ({rows:,})" for name, rows in chosen.items())
