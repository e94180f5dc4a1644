"""Rehearsed traces: their order, their quotations, what they claim, and errors planted in them."""

import re
from pathlib import Path

import pytest
from cohorts import rows_in

from builders.cohort.build import build
from builders.synthetic.synthesize import synthesize
from deepicd.answer_form import write_answer
from deepicd.icd10cm import Code
from distill.checks import find_reasons, measure
from distill.prompt import Material
from distill.recipe import load_recipe
from distill.rehearsal_claims import Claim, RehearsedTrace, plant_errors
from distill.rehearsal_trace import load_phrases, rehearse

NOTE = """Chief Complaint:
Chest pain

History of Present Illness:
Ms. ___ is a ___ year old woman with a history of gout who presents with
chest pain. It went into the left arm for 2 hours. She was pale and sweating. Denies fever or cough.
In the ED, initial vitals were: T 98 BP 95/60 HR 110. Labs were sent.

Past Medical History:
Gout, Type 2 diabetes (diet, no drugs)

Physical Exam:
VS: T 98.1, HR 110, BP 95/60, RR 20
GENERAL: Alert, no acute distress
LUNGS: Crackles at both bases

Medications on Admission:
The Preadmission Medication list is accurate and complete.
1. Allopurinol 100 mg PO DAILY"""


def rehearse_note(seed: int = 1) -> RehearsedTrace:
    return rehearse(NOTE, Code("I214"), "Non-ST elevation (NSTEMI) myocardial infarction", seed)


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> list[Material]:
    folder = tmp_path_factory.mktemp("rehearsed")
    synthesize(folder / "mimic", 250, 9)
    build(folder / "mimic", folder / "mimic", folder / "cohort")
    return [
        Material(row["admission_note"], Code(row["icd_code"]), row["icd_title"], None, None, with_guidelines=False)
        for row in rows_in(folder / "cohort")
        if "admission_note" in row
    ]


@pytest.mark.parametrize("seed", range(20))
def test_a_trace_goes_from_presentation_over_findings_and_alternatives_to_the_diagnosis(seed: int) -> None:
    presentation, positives, negatives, alternatives, conclusion = rehearse_note(seed).text.split("\n\n")
    assert "“Chest pain”" in presentation
    assert "Crackles at both bases" in positives and "110" in positives and "Allopurinol" in positives
    assert "“Denies fever or cough”" in negatives or "“Denies fever or cough”" in alternatives
    names = {alternative.name for alternative in load_phrases().alternatives[9]}
    assert sum(name.lower() in alternatives.lower() for name in names) == 2
    assert "myocardial infarction" in conclusion


def test_lines_of_a_form_are_not_quoted() -> None:
    texts = "".join(rehearse_note(seed).text for seed in range(50))
    assert "Preadmission" not in texts and "Labs were sent" not in texts and "initial vitals" not in texts


def test_an_alternative_is_held_against_what_the_note_rules_out() -> None:
    texts = [rehearse_note(seed).text for seed in range(60)]
    infection = [text for text in texts if "infection of the lungs" in text.lower()]
    assert infection
    assert not any("fever with productive cough, of which the note says nothing" in text for text in infection)


def test_the_diagnosis_of_the_row_is_no_alternative() -> None:
    text = rehearse("Chief Complaint:\nFever", Code("J189"), "Heart failure and pulmonary embolism", 1).text
    assert "heart failure" not in text.split("\n\n")[-2].lower()


def test_the_same_seed_gives_the_same_trace_and_seeds_differ() -> None:
    assert rehearse_note(3) == rehearse_note(3)
    assert len({rehearse_note(seed).text for seed in range(50)}) == 50


def test_an_empty_note_gets_a_trace_without_quotations() -> None:
    trace = rehearse("", Code("I10"), "Essential (primary) hypertension", 1)
    assert "“" not in trace.text and {claim.kind for claim in trace.claims} == {"inference"}


def test_every_supported_claim_stands_in_the_note_and_claims_are_in_order(materials: list[Material]) -> None:
    for number, material in enumerate(materials):
        trace = rehearse(material.note, material.code, material.title, number)
        end = 0
        for claim in trace.claims:
            assert end <= claim.start < claim.end <= len(trace.text)
            end = claim.end
            assert (claim.kind == "supported") == (claim.note is not None)
            if claim.note:
                assert " ".join(material.note[slice(*claim.note)].split()) == trace.get_words(claim)
        quoted = re.findall("“([^”]*)”", trace.text)
        assert {*quoted} <= {trace.get_words(claim) for claim in trace.claims}


def test_nearly_every_trace_passes_the_checks(materials: list[Material]) -> None:
    recipe = load_recipe(Path("rehearsal"))
    rejected = [
        reasons
        for number, material in enumerate(materials)
        if (reasons := find_reasons(
            measure(write_answer(rehearse(material.note, material.code, material.title, number).text, material.code),
                    "stop", material), recipe))
    ]  # fmt: skip
    assert len(materials) > 60
    assert rejected == []


def test_traces_of_a_cohort_vary_in_their_words(materials: list[Material]) -> None:
    traces = [rehearse(row.note, row.code, row.title, number).text for number, row in enumerate(materials)]
    frames = [re.sub("“[^”]*”", "“”", trace.split("\n\n")[0]) for trace in traces]
    assert len(set(frames)) > 0.8 * len(frames)


def test_each_kind_of_error_is_planted_with_its_gold() -> None:
    found: dict[str, str] = {}
    for seed in range(30):
        wrong = plant_errors(rehearse_note(seed), NOTE, seed)
        for claim in wrong.claims:
            if claim.error:
                found.setdefault(claim.error, wrong.get_words(claim))
                assert claim.kind == ("not in the note" if claim.error == "drug" else "contradicted")
                assert wrong.get_words(claim) not in NOTE
                assert (claim.note is None) == (claim.error == "drug")
                assert f"“{wrong.get_words(claim)}”" not in wrong.text
            elif claim.note:
                assert " ".join(NOTE[slice(*claim.note)].split()) == wrong.get_words(claim)
    assert found["side"] == "It went into the right arm for 2 hours"
    assert found["negation"] == "reports fever or cough"
    assert found.keys() == {"number", "side", "negation", "drug"}


def test_only_the_errors_asked_for_are_planted() -> None:
    wrong = plant_errors(rehearse_note(), NOTE, 1, errors=("drug",))
    assert [claim.error for claim in wrong.claims if claim.error] == ["drug"]
    assert plant_errors(rehearse_note(), NOTE, 1, errors=()) == rehearse_note()


def test_a_changed_number_is_one_that_the_note_does_not_have() -> None:
    trace = RehearsedTrace("The pulse is 88.", (Claim(13, 15, "supported", (0, 2)),))
    wrong = plant_errors(trace, "88 117", 1, errors=("number",))
    assert wrong.text == "The pulse is 118."
    assert wrong.claims == (Claim(13, 16, "contradicted", (0, 2), error="number"),)


def test_a_claim_with_both_sides_or_without_a_negation_is_left_alone() -> None:
    words = "Pain goes from the left to the right"
    trace = RehearsedTrace(words, (Claim(0, len(words), "supported", (0, len(words))),))
    assert plant_errors(trace, words, 1, errors=("side", "negation")) == trace
