"""Each check on made-up stays with planted right and wrong claims, so that it has a precision and a recall."""

import pytest

from benchmarks.ablation import DOC, format_table
from benchmarks.borne_out import GOAL, SEED, Stay, read_stays, score
from builders.cohort.build import build
from builders.cohort.criteria import Criteria
from builders.synthetic.synthesize import synthesize
from deepicd.icd10cm import Code
from deepicd.verification.borne_out import Verdict
from deepicd.verification.diseases import find_disease_keys, mask_diagnosis, weigh
from distill.rehearsal_trace import rehearse
from distill.verification.questions import MASK, parse_code
from distill.verification.rehearsal import solve
from distill.verification.rows import measure_level


@pytest.fixture(scope="module")
def stays(tmp_path_factory: pytest.TempPathFactory) -> list[Stay]:
    folder = tmp_path_factory.mktemp("planted")
    synthesize(folder / "copy", 300, SEED)
    build(folder / "copy", folder / "copy", folder / "cohort", Criteria())
    return list(read_stays(folder / "copy", folder / "cohort"))


def test_planted_expectations_are_confirmed_and_refuted_with_the_precision_and_recall_of_the_goal(
    stays: list[Stay],
) -> None:
    scores = score(stays)
    assert scores.pairs.total() > 300
    for verdict in Verdict:
        assert scores.get_precision(verdict) >= GOAL
        assert scores.get_recall(verdict) >= GOAL


def test_a_trace_of_another_chapter_does_not_lead_to_the_diagnosis_and_the_own_one_does(stays: list[Stay]) -> None:
    """The solver looks words up; what is tested is that masking leaves the reasoning and takes the name."""
    own, foreign = [], []
    for stay, other in zip(stays, stays[1:] + stays[:1], strict=True):
        if stay.code.chapter == other.code.chapter:
            continue
        masked = [
            mask_diagnosis(rehearse(one.note, one.code, one.title, 1).text, one.code, [one.title], MASK)
            for one in (stay, other)
        ]
        levels = [measure_level(parse_code(solve(text)), stay.code) for text in masked]
        own.append(levels[0] or 0)
        foreign.append(levels[1] or 0)
        assert stay.code.value not in masked[0]
        assert stay.title.lower() not in masked[0].lower()
    assert sum(level >= 1 for level in own) >= GOAL * len(own)
    assert sum(level == 0 for level in foreign) >= GOAL * len(foreign)


def test_planted_names_of_other_codes_are_covered_and_others_are_not(stays: list[Stay]) -> None:
    found = planted = invented = 0
    for stay in stays:
        codes = [Code(value) for value in stay.outcome.icd_codes[1:]]
        names = [
            key for code in codes if code.category != stay.code.category for key in sorted(find_disease_keys(code))
        ]
        if not names:
            continue
        planted += 1
        found += weigh(f"One has to weigh {names[0]}.", first=stay.code, codes=codes).covered > 0
        invented += weigh("One has to weigh rabies.", first=stay.code, codes=codes).covered
    assert planted > 50
    assert found >= GOAL * planted
    assert invented == 0


def test_the_documentation_has_the_recorded_ablation() -> None:
    assert format_table() in DOC.read_text(encoding="utf-8")
