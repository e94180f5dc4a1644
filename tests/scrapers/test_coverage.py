"""What the descriptions explain of a cohort, counted by hand."""

import pytest
from cohorts import write_cohort

from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge.icd10gm import read_crosswalk
from deepicd.schema import DESCRIPTIONS
from deepicd.stage_records import CoverageRecord
from scrapers import coverage


@pytest.fixture
def descriptions(tmp_path):
    path = tmp_path / "descriptions.parquet"
    rows = [{"code": code, "outcome": "described", "text": "Ein Text."} for code in ("I10", "I21", "E11.6")]
    storage.write_parquet(path, [dict.fromkeys(DESCRIPTIONS.names) | row for row in rows], DESCRIPTIONS, "public")
    return path


@pytest.fixture
def cohort(tmp_path):
    return write_cohort(tmp_path / "cohort", rows=120, codes=("I10", "I214", "E1165", "C7A8"))


def test_stays_and_codes_are_counted_by_level_and_warning(cohort, descriptions):
    counted = coverage.measure_coverage(cohort, descriptions)
    assert counted.stays == {"exact": 30, "5": 0, "4": 30, "3": 30, "none": 30}
    assert counted.warnings == {"none": 30, "low": 30, "medium": 30, "high": 0}
    assert counted.chapters["9"] == {"exact": 30, "5": 0, "4": 0, "3": 30, "none": 0}
    assert counted.described["9"] == 2


def test_a_cell_of_one_to_nine_stays_is_withheld(tmp_path, descriptions):
    counts = coverage.count_coverage({Code("I10"): 9, Code("I214"): 10}, read_crosswalk(descriptions))
    assert counts.stays == {"exact": None, "5": 0, "4": 0, "3": 10, "none": 0}
    assert "<10" in "\n".join(coverage.format_summary(counts))


def test_shares_are_given_and_the_same_figure_is_drawn_twice(tmp_path, cohort, descriptions):
    first, second = (coverage.measure_coverage(cohort, descriptions, tmp_path / name) for name in ("a", "b"))
    assert first == second
    assert (tmp_path / "a/coverage.png").read_bytes() == (tmp_path / "b/coverage.png").read_bytes()
    record = records.read(tmp_path / "a")
    assert (record.origin, record.parse_as(CoverageRecord).counts) == ("synthetic", first)
    assert any("25.0%" in line for line in coverage.format_summary(first))


def test_a_folder_that_is_no_cohort_is_refused(tmp_path, descriptions):
    with pytest.raises(DeepicdError, match="There is no file"):
        coverage.measure_coverage(tmp_path, descriptions)
