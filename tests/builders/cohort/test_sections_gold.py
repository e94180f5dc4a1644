"""Extraction against gold.parquet of a copy with every oddity of the generator: nothing later, all that was known."""

from collections import defaultdict
from pathlib import Path

import pytest

from benchmarks.sections import WITH_LABS, Score, add_note, score_extraction
from builders.cohort.criteria import DEFAULT, PRESETS
from builders.synthetic.synthesize import synthesize
from deepicd.errors import DeepicdError

KEPT = 0.995
"""Share of the known lines of a section that must come out of it."""


@pytest.fixture(scope="module", params=[4000, 10_500], ids=["usual length", "long"])
def copy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("gold") / "mimic"
    synthesize(made, 800, seed=42, length=request.param)
    return made


@pytest.mark.parametrize("criteria", [DEFAULT, WITH_LABS], ids=["default", "with admission labs"])
def test_no_line_that_was_not_known_at_admission_comes_out(copy, criteria):
    leaked = {section: score.leaked for section, score in score_extraction(copy, criteria).items() if score.leaked}
    assert not leaked


def test_of_each_section_nearly_every_line_known_at_admission_is_kept(copy):
    scores = {section: score for section, score in score_extraction(copy).items() if score.known}
    assert scores.keys() == {*DEFAULT.sections, "Pertinent Results"} - {"Social History"}  # always ___
    assert not {section: score for section, score in scores.items() if score.recall < KEPT}
    assert sum(score.right for score in scores.values()) >= KEPT * sum(score.known for score in scores.values())


def test_the_papers_choice_of_sections_leaks_the_discharge_exam(copy):
    assert score_extraction(copy, PRESETS["paper"])["Discharge Exam"].leaked > 100


def test_lines_are_counted_as_often_as_they_occur():
    scores = defaultdict[str, Score](Score)
    gold = [
        {"section": "Physical Exam", "text": "Lungs clear\nHR 90", "known_at_admission": True},
        {"section": "Discharge Exam", "text": "Lungs clear\nHR 70", "known_at_admission": False},
    ]
    add_note(scores, {"Physical Exam": "Lungs clear\nLungs clear\nHR 70\n---"}, gold)
    assert scores["Physical Exam"] == Score(known=2, extracted=3, right=1, notes_short=1)
    assert scores["Discharge Exam"] == Score(leaked=2)


def test_a_copy_without_gold_or_with_anothers_is_refused(copy, tmp_path):
    with pytest.raises(DeepicdError, match=r"has no gold\.parquet"):
        score_extraction(tmp_path)
    synthesize(tmp_path / "other", 20, seed=7)
    (tmp_path / "other" / "gold.parquet").write_bytes((copy / "gold.parquet").read_bytes())
    with pytest.raises(DeepicdError, match="belongs to other notes"):
        score_extraction(tmp_path / "other")
