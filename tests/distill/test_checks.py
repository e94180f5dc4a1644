"""Checks: what keeps a trace out of the dataset."""

import time

import pytest

from deepicd.answer_form import write_answer
from deepicd.icd10cm import Code
from deepicd.trace_measures import measure_grounding
from distill.checks import Findings, find_reasons, measure
from distill.prompt import Material
from distill.recipe import Recipe

CODE = Code.parse("I21.4")
TITLE = "Non-ST elevation (NSTEMI) myocardial infarction"
NOTE = "Chest pain for 2 hours, BP 95/60, HR 110. On lisinopril 40 mg and Zantac 150mg. She was pale and sweating."
GOOD = (
    "The note opens with “Chest pain for 2 hours” and a blood pressure of 95/60. She was pale and sweating, with a"
    " heart rate of 110, on lisinopril 40 mg. I weighed a lung embolism against it, but nothing else in the findings"
    " speaks for that, and the heart remains the most likely source of all of this, so that I settle on a heart attack."
)
RECIPE = Recipe(name="test", engine="rehearsal", model="none")


def found(trace: str, finish: str = "stop", code: Code = CODE) -> Findings:
    text = trace if trace.startswith("<") or not trace else write_answer(trace, code)
    return measure(text, finish, Material(NOTE, CODE, TITLE, None, None))


@pytest.mark.parametrize(
    ("trace", "finish", "code", "expected"),
    [
        (GOOD, "stop", "I214", []),
        (GOOD, "stop", "I219", ["wrong code"]),
        ("The heart it is.", "stop", "I214", ["too short"]),
        (f"{GOOD} " + " and ".join(f"w{n}" for n in range(500)), "stop", "I214", ["too long"]),
        ("The heart it is.", "stop", "I10", ["wrong code", "too short"]),
        (f"<think>\n{GOOD}", "length", "I214", ["cut off", "form"]),
        (f"<think>\n{GOOD}</think>", "stop", "I214", ["form"]),
        ("", "stop", "I214", ["form"]),
        (GOOD, "length", "I214", ["cut off"]),
        (f"This is I21.4. {GOOD}", "stop", "I214", ["diagnosis named early"]),
        (f"This is i214. {GOOD}", "stop", "I214", ["diagnosis named early"]),
        (f"A non-ST  elevation (nstemi) myocardial infarction. {GOOD}", "stop", "I214", ["diagnosis named early"]),
        (f"{GOOD} That is I21.4.", "stop", "I214", []),
        (f"This is not I21.45 nor I21. {GOOD}", "stop", "I214", []),  # other codes
        (f"{GOOD} This fits the assigned code.", "stop", "I214", ["hindsight"]),
        (f"As provided, she has chest pain. {GOOD}", "stop", "I214", ["hindsight"]),
        (f"We were told: the diagnosis was given. {GOOD}", "stop", "I214", ["hindsight"]),
        (f"{GOOD} {GOOD} {GOOD}", "stop", "I214", ["loop"]),
        ("Die Patientin hat Schmerzen in der Brust und ist blass, das Herz schlägt schnell und der Druck ist niedrig. "
         "Ich sehe keine andere Ursache für alle diese Befunde, und die Lunge ist auch nicht frei.", "stop", "I214",
         ["language"]),
        (GOOD + " 心脏的问题是最有可能的原因", "stop", "I214", ["language"]),
        (GOOD.replace("95/60", "81/41").replace("110", "151").replace("40 mg", "20 mg"), "stop", "I214",
         ["numbers not in the note"]),
        (f"{GOOD} She takes atorvastatin, metoprolol, apixaban and cefepime.", "stop", "I214",
         ["drugs not in the note"]),
        (f"{GOOD} “I fell”, “I slept”, “I ran” and “I sang” she said.", "stop", "I214", ["quotes not in the note"]),
    ],
)  # fmt: skip
def test_each_fault_has_its_reason(trace: str, finish: str, code: str, expected: list[str]) -> None:
    assert find_reasons(found(trace, finish, Code(code)), RECIPE) == expected


def test_thresholds_are_the_recipes() -> None:
    copied = found(f"{GOOD} {NOTE}")
    assert find_reasons(copied, RECIPE) == []
    assert find_reasons(copied, RECIPE.replace(max_verbatim=10)) == ["copies the note"]
    assert find_reasons(found(f"As provided. {GOOD}"), RECIPE.replace(max_giveaways=1)) == []


def test_a_title_that_the_note_has_is_no_secret() -> None:
    text = write_answer(f"She has gout. {GOOD}", Code("M109"))
    notes = {f"{NOTE} Known gout.": [], NOTE: ["diagnosis named early"]}
    for note, expected in notes.items():
        material = Material(note, Code("M109"), "Gout", None, None)
        assert find_reasons(measure(text, "stop", material), RECIPE) == expected


def test_findings_come_back_from_the_ledger_as_they_went() -> None:
    before = found(GOOD)
    assert Findings.from_entry(before.to_entry()) == before


def test_grounding_counts_what_the_note_has() -> None:
    trace = "“Chest pain for 2 hours” and “fever”; BP 95/60, HR 100; lisinopril and heparin; Zantac 150 mg."
    shares = measure_grounding(trace, NOTE)
    assert (shares.quotes.in_note, shares.quotes.total) == (1, 2)
    assert (shares.numbers.in_note, shares.numbers.total) == (4, 5)
    assert (shares.drugs.in_note, shares.drugs.total) == (2, 3)
    assert shares.verbatim == 5  # chest pain for 2 hours
    assert measure_grounding("nothing", NOTE).numbers.share is None


@pytest.mark.parametrize(
    "piece",
    ["<think>", "“", '"', "1.", "1,", "I21.", "the given ", "a a ", "as provided", "\n1) ", "mg 1 ", "ä", "word 1 mg "],
)
def test_any_text_is_measured_in_linear_time(piece: str) -> None:
    """By the processor's time, whatever else runs here: eight times the text may not take sixty-four times as long."""

    def seconds(pieces: int) -> float:
        clock = time.process_time()
        measure(piece * pieces, "stop", Material(piece * pieces, CODE, TITLE, None, None))
        return time.process_time() - clock

    assert min(seconds(8_000) for _ in range(2)) < 24 * max(min(seconds(1_000) for _ in range(3)), 0.005)
