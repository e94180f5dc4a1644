"""What the rules say of a trace, beside the outcome of a made-up stay."""

import pytest

from deepicd.icd10cm import Code
from deepicd.verification.borne_out import Forecast, find_borne_out, list_expectations
from deepicd.verification.diseases import Weighing, find_disease_keys, mask_diagnosis, weigh
from deepicd.verification.outcome_text import OutcomeText, read_outcome

NOTE = "Pain in the right upper quadrant after fat. History of gout. No fever."
SECTIONS = [
    ("Brief Hospital Course", "# Cholecystitis: laparoscopic cholecystectomy on day 2, cefazolin before it. There was"
     " concern for pancreatitis. No pulmonary embolism on CTA. Ultrasound with a stone in the left kidney."),
    ("Discharge Diagnosis", "Primary:\nAcute cholecystitis\nSecondary:\n- Sturge-Kalischer syndrome"),
    ("Discharge Medications", "1. Apixaban 5 mg PO BID\n2. Trofinetide 60 ml PO"),
    ("Discharge Instructions", "Come back for a stroke or pneumonia."),
]  # fmt: skip
TITLES = ["Acute cholecystitis", "Unspecified atrial fibrillation", "Hyperlipidemia, unspecified"]


@pytest.fixture(scope="module")
def outcome() -> OutcomeText:
    return read_outcome(SECTIONS, TITLES)


def judge(trace: str, outcome: OutcomeText, given: tuple[str, ...] = ()) -> list[Forecast]:
    return find_borne_out(list_expectations(trace, NOTE, outcome.names, given), outcome)


@pytest.mark.parametrize(
    ("trace", "stance", "verdict", "section"),
    [
        ("This is acute cholecystitis.", "asserted", "confirmed", "Discharge Diagnosis"),
        ("One might consider cholecystitis.", "weighed", "confirmed", "Discharge Diagnosis"),
        ("Cholecystitis is unlikely.", "excluded", "refuted", "Discharge Diagnosis"),
        ("The findings argue against cholecystitis.", "excluded", "refuted", "Discharge Diagnosis"),
        ("Nothing here speaks for cholecystitis.", "excluded", "refuted", "Discharge Diagnosis"),
        ("Atrial fibrillation will be found.", "asserted", "confirmed", "Codes"),
        ("There will be a pulmonary embolism.", "asserted", "refuted", "Brief Hospital Course"),
        ("Pulmonary embolism is possible.", "weighed", "untouched", ""),  # to weigh is no error
        ("There is no pulmonary embolism.", "excluded", "confirmed", "Brief Hospital Course"),
        ("Pancreatitis explains it.", "asserted", "untouched", ""),  # the outcome only weighs it
        ("She has had a stroke.", "asserted", "untouched", ""),  # advice to the patient is no finding
        ("A cholecystectomy follows.", "asserted", "confirmed", "Brief Hospital Course"),
        ("There is no need for a cholecystectomy.", "excluded", "refuted", "Brief Hospital Course"),
        ("Anticoagulation is started.", "asserted", "confirmed", "Discharge Medications"),
        ("Sturge-Kalischer syndrome fits.", "asserted", "confirmed", "Discharge Diagnosis"),  # no lexicon has it
        ("Trofinetide is started.", "asserted", "confirmed", "Discharge Medications"),
    ],
)
def test_an_expectation_is_held_against_the_outcome(
    trace: str, stance: str, verdict: str, section: str, outcome: OutcomeText
) -> None:
    [found] = judge(trace, outcome)
    assert (found.stance, found.verdict, found.section) == (stance, verdict, section)


def test_what_the_note_says_and_what_the_writer_was_told_are_no_expectations(outcome: OutcomeText) -> None:
    assert judge("Gout is known, there is no fever, and the pain is in the right upper quadrant.", outcome) == []
    assert judge("This is acute cholecystitis.", outcome, given=("Acute cholecystitis",)) == []


def test_of_one_thing_the_last_assertion_counts(outcome: OutcomeText) -> None:
    trace = "Pulmonary embolism is possible. But it is not a pulmonary embolism. Had it been, it might cause pain."
    [found] = judge(trace, outcome)
    assert (found.stance, found.verdict, trace[found.start : found.end]) == (
        "excluded", "confirmed", "pulmonary embolism",
    )  # fmt: skip


def test_the_diseases_that_a_trace_names_are_held_against_the_other_codes() -> None:
    codes = [Code("I5021"), Code("N179"), Code("Y92009")]  # a place of accident is no disease
    trace = (
        "NSTEMI is most likely. Heart failure has to be weighed; there is no pneumonia, and then acute kidney injury."
    )
    assert weigh(trace, first=Code("I214"), codes=codes) == Weighing(named=3, covered=2, nameable=2)
    assert weigh(trace, first=Code("I214"), codes=codes, k=2) == Weighing(named=2, covered=1, nameable=2)
    assert weigh("Pain.", first=Code("I214"), codes=codes).recall == 0.0
    assert weigh("Pain.", first=Code("I214"), codes=[Code("Y92009")]).recall is None
    assert find_disease_keys(Code("I5021")) == {"heart failure"}


def test_the_diagnosis_is_blanked_out_in_every_spelling() -> None:
    trace = (
        "An NSTEMI, that is a non-ST elevation\nmyocardial infarction (I21.4, i214), is settled on; not I21.3, and not"
        " heart failure."
    )
    assert mask_diagnosis(trace, Code("I214"), ["NSTEMI"], "[…]") == (
        "An […], that is a […] ([…], […]), is settled on; not […].3, and not heart failure."
    )


@pytest.mark.parametrize("text", ["", "." * 5000, "no " * 5000, "pneumonia, " * 5000, "((((" * 2000, "\n# :" * 3000])
def test_hostile_texts_raise_nothing_and_take_linear_time(text: str) -> None:
    read = read_outcome([("Brief Hospital Course", text), ("Discharge Diagnosis", text)], [text[:60]])
    find_borne_out(list_expectations(text, text, read.names), read)
    weigh(text, first=Code("I214"), codes=[Code("N179")])
    mask_diagnosis(text, Code("I214"), [text[:60]], "[…]")
