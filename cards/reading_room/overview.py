"""The numbers behind the overview, for the selected rows: by chapter, verdict, reason, score, length, code."""

from dataclasses import dataclass
from typing import Any

from cards.reading_room.filters import Filters
from cards.reading_room.rows import Rows

BINS = 24  # of the histogram of lengths
TOP_CODES = 12
TAIL_WIDTH, TAIL_HEIGHT = 520, 200


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar with its label; `share` of the longest one, 0 to 1."""

    label: str
    value: int
    share: float
    link: dict[str, object]
    """What of the filters a click on it sets."""


def measure(rows: Rows, filters: Filters) -> dict[str, Any]:
    """Return the fields of the overview's template."""
    condition, parameters = rows.select(filters)
    source = f"from entries where {condition}"

    def ask(sql: str) -> list[dict[str, Any]]:
        return rows.query(sql.format(source=source), parameters)

    totals = ask(
        """
        select count(*) as rows, count(distinct icd_code) as codes, count(distinct note_id) as notes,
          count(*) filter (verdict = 'kept') as kept, count(*) filter (verdict = 'rejected') as rejected,
          count(*) filter (verdict = 'no trace') as without, sum(attempts)::bigint as attempts,
          avg(words) filter (verdict = 'kept') as words, sum(supported)::bigint as supported,
          sum(inference)::bigint as inference, sum(contradicted)::bigint as contradicted, sum(absent)::bigint as absent,
          count(*) filter (contradicted > 0) as rows_contradicted, count(*) filter (absent > 0) as rows_absent,
          avg(score) as score, count(score) as scored
        {source}
        """
    )[0]
    reasons = rows.query(
        f"""
        select reason, count(*) as rows from (
          select unnest(reasons) as reason from attempts
          where (recipe_digest, note_id) in (select (recipe_digest, note_id) {source})
        ) group by reason order by rows desc, reason
        """,
        parameters,
    )
    codes = ask("select icd_code as code, any_value(icd_title) as title, count(*) as rows {source} group by icd_code"
                " order by rows desc, icd_code")  # fmt: skip
    scores = ask(
        "select round(score)::int as score, count(*) as rows {source} and score > 0 group by all order by score"
    )
    flags = ask(
        "select flag, count(*) as rows from (select unnest(flags) as flag {source}) group by flag order by 2 desc"
    )
    lengths = ask("select words {source} and verdict = 'kept' and words > 0 order by words")
    return {
        "totals": totals,
        "chapter_bars": _draw_bars(
            ask("select chapter, count(*) as rows {source} group by chapter order by chapter"), "chapter"
        ),
        "split_bars": _draw_bars(
            ask("select split, count(*) as rows {source} group by split order by min(row)"), "split"
        ),
        "reason_bars": _draw_bars(reasons, "reason"),
        "score_bars": _draw_bars(scores, "score"),
        "flag_bars": _draw_bars(flags, "flag"),
        "lengths": _measure_lengths([row["words"] for row in lengths]),
        "code_bars": _draw_bars(codes[:TOP_CODES], "code"),
        "titles": {row["code"]: row["title"] for row in codes[:TOP_CODES]},
        "tail": _measure_tail([row["rows"] for row in codes]),
        "funnel": _list_funnel(rows),
    }


def _draw_bars(rows: list[dict[str, Any]], name: str) -> list[Bar]:
    longest = max((row["rows"] for row in rows), default=1)
    return [Bar(str(row[name]), row["rows"], row["rows"] / longest, {name: row[name]}) for row in rows]


def _measure_lengths(words: list[int]) -> dict[str, Any] | None:
    """Return the histogram of sorted lengths; None without any."""
    if not words:
        return None
    low, high = words[0], words[-1]
    width = max(1, -(-(high - low + 1) // BINS))
    counts = [0] * ((high - low) // width + 1)
    for value in words:
        counts[(value - low) // width] += 1
    bars = [(number, count / max(counts), low + number * width, count) for number, count in enumerate(counts)]
    return {"bars": bars, "low": low, "high": high, "median": words[len(words) // 2], "width": width}


def _measure_tail(counts: list[int]) -> dict[str, Any] | None:
    """Return the codes' rows by rank, both on logarithmic scales, as points of a drawing; None for fewer than two."""
    from math import log10

    if len(counts) < 2:
        return None
    widest, highest = log10(len(counts)), max(log10(counts[0]), 1e-9)
    ranks = sorted({round(10 ** (step * widest / 60)) for step in range(61)})
    points = [
        (TAIL_WIDTH * log10(rank) / widest, TAIL_HEIGHT * (1 - log10(counts[rank - 1]) / highest)) for rank in ranks
    ]
    ticks_x = [(TAIL_WIDTH * power / widest, 10**power) for power in range(int(widest) + 1)]
    ticks_y = [(TAIL_HEIGHT * (1 - power / highest), 10**power) for power in range(int(highest) + 1)]
    return {
        "points": " ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        "ticks_x": ticks_x,
        "ticks_y": ticks_y,
        "width": TAIL_WIDTH,
        "height": TAIL_HEIGHT,
        "once": sum(count == 1 for count in counts),
        "half": _count_codes_of_half(counts),
    }


def _count_codes_of_half(counts: list[int]) -> int:
    """Return how many of the most frequent codes have half of the rows."""
    total, reached = sum(counts), 0
    for number, count in enumerate(counts, start=1):
        reached += count
        if 2 * reached >= total:
            return number
    return len(counts)


def _list_funnel(rows: Rows) -> list[Bar]:
    """Return the steps from all notes to the cohort; [] without the record of a build."""
    for record in rows.holdings.cohorts.values():
        steps = record.counts.funnel.steps
        first = max((step.rows for step in steps), default=0) or 1
        return [Bar(step.step, step.rows, step.rows / first, {}) for step in steps]
    return []
