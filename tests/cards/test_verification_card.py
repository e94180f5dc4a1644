"""The card's section on verification: exact of made-up rows, and of credentialed ones no group under ten."""

from pathlib import Path

import pytest

from cards.counts import ChapterRow, RowParts, add_verification
from cards.dataset_statistics import Statistics
from cards.further_configs import VerifiedStatistics
from cards.verification import list_kinds, list_lifts, list_selection
from cards.verification_figures import draw
from deepicd.small_counts import Counts, PublishedCounts
from deepicd.stage_records import AssembleCounts, AssembleRecord

CHAPTERS = [ChapterRow(9, "IX", "Circulatory", (9,)), ChapterRow(10, "X", "Respiratory", (10,))]
LARGE, SMALL = (9, "train", True), (10, "train", True)


def publish(*, everything: bool) -> tuple[VerifiedStatistics, PublishedCounts]:
    """Return 40 rows of chapter IX and 4 of X, each with a confirmed disease, three with a refuted drug."""
    verified, statistics = VerifiedStatistics(), Statistics({}, {})
    for number in range(44):
        chapter = 9 if number < 40 else 10
        cell = LARGE if chapter == 9 else SMALL
        statistics.cells[cell] += 1
        statistics.patients[cell][str(number)] += 1
        drug = {"category": "drug", "verdict": "refuted" if number < 3 else "confirmed"}
        verified.add(
            {
                "note_id": f"{number}-DS-1",
                "chapter": chapter,
                "lift": 1.0 if chapter == 9 else 3.0,
                "forecasts": [{"category": "disease", "verdict": "confirmed"}, drug],
                "failed_for": ["refuted by the outcome"] if number < 3 else [],
            }
        )
    counts = Counts()
    for cell, rows in statistics.cells.items():
        counts.add_group(cell, rows)
    counts.show(("rows", "traces", "all"), [LARGE, SMALL], people=44)
    counts.show(("chapter", 9, "traces"), [LARGE], people=40)
    counts.show(("chapter", 10, "traces"), [SMALL], people=4)
    counts.show("attempts", [LARGE, SMALL])
    record = AssembleRecord.model_construct(lineage={}, counts=AssembleCounts(rows={}))
    add_verification(counts, verified, record, RowParts(counts, statistics, [LARGE, SMALL]), [LARGE, SMALL])
    return verified, counts.select_published(everything=everything)


def test_of_made_up_rows_everything_is_counted() -> None:
    verified, shown = publish(everything=True)
    assert list_kinds(verified, shown) == [
        ("disease", {"confirmed": 44, "refuted": 0, "untouched": 0, "all": 44}),
        ("drug", {"confirmed": 41, "refuted": 3, "untouched": 0, "all": 44}),
    ]
    assert list_lifts(verified, shown, CHAPTERS, is_free=True) == [
        ("IX", "Circulatory", 1.0),
        ("X", "Respiratory", 3.0),
    ]
    assert shown["failed", "refuted by the outcome"] == 3


def test_of_credentialed_rows_neither_a_small_count_nor_what_tells_it_is_shown() -> None:
    verified, shown = publish(everything=False)
    kinds = dict(list_kinds(verified, shown))
    assert kinds["disease"]["all"] == 44
    assert kinds["drug"]["refuted"] is None
    assert None in (kinds["drug"]["confirmed"], kinds["drug"]["all"])  # their difference is the refuted ones
    assert shown["failed", "refuted by the outcome"] is None
    assert list_lifts(verified, shown, CHAPTERS, is_free=False)[1] == ("X", "Respiratory", None)


@pytest.mark.parametrize("everything", [True, False])
def test_figures_are_drawn_of_what_is_shown(everything: bool, tmp_path: Path) -> None:
    verified, shown = publish(everything=everything)
    lifts = list_lifts(verified, shown, CHAPTERS, is_free=everything)
    draw(tmp_path, verified.figures, list_kinds(verified, shown), lifts, list_selection(shown))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["borne_out.png", "lift.png", "selection.png"]
