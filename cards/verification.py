"""What a dataset's card says of its verification."""

from collections.abc import Iterator
from typing import Any

from deepicd.stage_records import AssembleRecord, VerifyCounts, VerifyRecord

LEVELS = ("another chapter", "the chapter", "the category", "the code")


def summarize_verification(record: AssembleRecord, *, is_free: bool) -> dict[str, Any] | None:
    """Return the fields of the card's section; None for a dataset without verification.

    Counts of credentialed rows are withheld as a whole: shares of a few traces would tell of a few patients.
    """
    verified = record.find_upstream(VerifyRecord)
    if verified is None or "verified" not in record.inputs:
        return None
    counts, options = verified.counts, verified.options
    asks_model = bool(counts.levels or counts.met is not None or counts.unread)
    return {
        "recipe": options.get("name"),
        "checks": options.get("checks"),
        "verifier": options.get("model") if asks_model else None,
        "is_rehearsed": asks_model and options.get("engine_has_model") is False,
        "select": record.options.get("select"),
        "shown": list(_list_figures(record, counts)) if is_free else None,
        "chapters": list(counts.lift_by_chapter.items()) if is_free else None,
    }


def _list_figures(record: AssembleRecord, counts: VerifyCounts) -> Iterator[tuple[str, str]]:
    traces, verified = sum(counts.traces.values()), sum(counts.verified.values())
    yield "traces verified", f"{verified:,} of {traces:,}"
    for reason, number in counts.reasons.items():
        yield f"failed: {reason}", f"{number:,}"
    for category, verdicts in counts.forecasts.items():
        parts = (f"{verdicts.get(name, 0):,} {name}" for name in ("confirmed", "refuted", "untouched"))
        yield f"expected {category}s", ", ".join(parts)
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
