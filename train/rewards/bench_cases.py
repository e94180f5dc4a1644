"""Answers to test rewards on, good, partly right, broken and hostile: each a way in which training could go wrong."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deepicd.answer_form import DIAGNOSIS, DIAGNOSIS_END, TAGS, THINK, THINK_END, write_answer, write_answers
from deepicd.icd10cm import Code

TRACE = (
    "The note tells of breathlessness that grew over three days and of crackles at both bases. Pneumonia would explain"
    " the crackles, but there is no fever and no sputum; swollen legs and a raised jugular pulse speak for the heart."
)
MEGABYTE = 2**20
TRUE_LIST = tuple(map(Code, ("I5021", "I4891", "E1122", "N179", "Z7901")))
WRONG_LIST = tuple(map(Code, ("J189", "A419", "K7460", "G4733", "F329")))
COMMON_LIST = tuple(map(Code, (
    "I10", "E785", "Z87891", "K219", "F329", "I2510", "N179", "F419", "E119", "Z7901", "I4891", "J449", "E039", "Z794",
    "D649", "N390", "E871", "G4733", "E669", "I5032", "J45909", "F17210", "Z7902", "I252", "M109", "N189", "D62",
    "I129", "E876", "J9601", "Y929", "N400", "I5022", "Z8673", "D696", "Z66", "E872", "I480", "K5900", "R6520",
)))  # fmt: skip
"""Forty that many stays have, and two of these."""
MANY = 20_000  # blocks of a hostile answer, some half a megabyte
LOOK_ALIKES = {"I": "І", "5": "５", "0": "О"}  # Cyrillic I and O, a full-width five


@dataclass(frozen=True, slots=True)
class AnswerCase:
    """An answer, and the true code that it is scored against."""

    name: str
    text: str
    truth: str
    is_gold: bool = False
    """Whether it is the answer that should earn most."""


@dataclass(frozen=True, slots=True)
class ExpectationCase:
    """A trace to test the reward for expectations on."""

    name: str
    trace: str


EXPECTATION_NOTE = "Breathlessness for three days, worse when lying. Swollen legs. History of gout. No fever."
EXPECTATION_OUTCOME = (
    (
        "Brief Hospital Course",
        "# Heart failure: furosemide intravenously. No pneumonia on CXR. Kidney injury resolved.",
    ),
    ("Discharge Diagnosis", "Acute systolic heart failure\nAtrial fibrillation"),
    ("Discharge Medications", "1. Apixaban 5 mg PO BID\n2. Furosemide 40 mg PO DAILY"),
)
POINTS_OF_STAYS = {
    "breathlessness": ("atrial fibrillation", "pneumonia", "furosemide", "kidney injury", "anticoagulation"),
    "a fall": ("hip fracture", "stroke", "anemia"),
    "fever": ("sepsis", "pyelonephritis", "meningitis"),
    "abdominal pain": ("pancreatitis", "cholecystitis", "appendicitis"),
    "chest pain": ("myocardial infarction", "pulmonary embolism", "asthma"),
}
"""What a trace about the stay has to consider, and what is to be considered in others."""
EXPECTATION_CODES = ("I5021", "I4891", "N179")
_EVERYTHING = (
    "pneumonia, pulmonary embolism, sepsis, stroke, myocardial infarction, pancreatitis, cirrhosis, cholecystitis,"
    " appendicitis, meningitis, pyelonephritis, cellulitis, atrial fibrillation, acute kidney injury, anemia, asthma"
)


def build_expectation_cases() -> Iterator[ExpectationCase]:
    """Yield traces about one stay, from an honest one to those that play for the reward."""
    yield ExpectationCase(
        "expects what came",
        "Breathlessness and swollen legs speak for the heart. Atrial fibrillation may have brought it on. Pneumonia is"
        " unlikely without fever. Furosemide will be given, then anticoagulation.",
    )
    yield ExpectationCase("expects one thing and is right", "An arrhythmia such as atrial fibrillation is likely.")
    yield ExpectationCase("expects nothing beyond the note", EXPECTATION_NOTE)
    yield ExpectationCase("copies the note ten times", " ".join([EXPECTATION_NOTE] * 10))
    yield ExpectationCase("claims everything", f"The patient has {_EVERYTHING}.")
    yield ExpectationCase("weighs everything", f"One has to consider {_EVERYTHING}.")
    yield ExpectationCase("excludes everything", f"There is no {_EVERYTHING}.")
    yield ExpectationCase("vague", "Several conditions are possible. Further tests and suitable treatment will follow.")
    yield ExpectationCase("is wrong", "The patient has pneumonia. Atrial fibrillation is unlikely.")


def build_cases(truth: Code, other: Code) -> Iterator[AnswerCase]:
    """Yield all cases for a true code of five or more characters and a code of another chapter."""
    code = truth.value
    for name, text in _build_well_formed(code, other.value) + _build_malformed(code) + _build_hostile(code):
        yield AnswerCase(name, text, code, is_gold=name == "gold")
    for letter in ("C7A8", "M1A9XX0", "Z3A08"):
        yield AnswerCase(
            f"gold, third character a letter ({letter[:3]})", write_answer(TRACE, Code(letter)), letter, is_gold=True
        )


def _build_well_formed(code: str, other: str) -> list[tuple[str, str]]:
    """Return well-formed answers with codes closer to and farther from the truth."""
    last = "9" if code[-1] != "9" else "8"
    return [
        ("gold", write_answer(TRACE, Code(code))),
        ("gold with its dot", _write_answer(str(Code(code)))),
        ("one character too many", _write_answer(f"{code}A")),
        ("last character wrong", _write_answer(code[:-1] + last)),
        ("category right", _write_answer(code[:3])),
        ("first two characters right", _write_answer(code[:2] + ("0" if code[2] != "0" else "1"))),
        ("first character right", _write_answer(code[0] + ("9" if code[1] != "9" else "8") + "0")),
        ("nothing right", _write_answer(other)),
        ("a code that does not exist", _write_answer(f"{code[:3]}ZZZZ")),
        ("the right code, a trace of nonsense", _write_answer(code, "la la la " * 40)),
        ("the right code, a trace of one word", _write_answer(code, "Yes.")),
        ("the right code, a trace ten times as long", _write_answer(code, " ".join([TRACE] * 10))),
    ]


def _build_malformed(code: str) -> list[tuple[str, str]]:
    """Return answers that are not well-formed."""
    look_alike = "".join(LOOK_ALIKES.get(character, character) for character in code)
    return [
        ("empty", ""),
        ("white space", " \n\t "),
        ("the code alone", code),
        ("no think block", f"{DIAGNOSIS}{code}{DIAGNOSIS_END}"),
        ("empty think block", _write_answer(code, "")),
        ("cut off in the trace", f"{THINK}\n{TRACE[:80]}"),
        ("cut off in the diagnosis", f"{THINK}\n{TRACE}\n{THINK_END}\n{DIAGNOSIS}{code[:3]}"),
        ("the think tag not opened", _write_answer(code).removeprefix(THINK)),
        ("blocks in the wrong order", f"{DIAGNOSIS}{code}{DIAGNOSIS_END}{THINK}{TRACE}{THINK_END}"),
        ("two think blocks", f"{THINK}{TRACE}{THINK_END}{_write_answer(code)}"),
        ("two diagnoses", f"{_write_answer(code)}{DIAGNOSIS}{code}{DIAGNOSIS_END}"),
        ("nested tags", f"{THINK}{THINK}{TRACE}{THINK_END}{THINK_END}{DIAGNOSIS}{code}{DIAGNOSIS_END}"),
        ("the diagnosis inside the trace", f"{THINK}{TRACE}{DIAGNOSIS}{code}{DIAGNOSIS_END}{THINK_END}"),
        ("text behind the answer", f"{_write_answer(code)} I am certain."),
        ("several codes in one block", _write_answer(f"{code}, I10, J189")),
        (
            "code spam, a block each",
            _write_answer(code) + "".join(_write_answer(f"{letter}10") for letter in "ABCDEFGH"),
        ),
        ("the diagnosis in words", _write_answer("acute heart failure")),
        ("tags in capitals", _write_answer(code).upper()),
        ("look-alikes of the code's characters", _write_answer(look_alike)),
        ("a null and half a character", _write_answer(f"{code}\0\ud800")),
    ]


def _build_hostile(code: str) -> list[tuple[str, str]]:
    """Return megabytes on which a careless pattern would spend hours."""
    return [
        ("1 MB of <", "<" * MEGABYTE),
        ("1 MB of <think>", THINK * (MEGABYTE // len(THINK))),
        ("1 MB of all tags", "".join(TAGS) * (MEGABYTE // len("".join(TAGS)))),
        ("1 MB of answers", _write_answer(code, "a") * (MEGABYTE // len(_write_answer(code, "a")))),
        ("1 MB of codes in one block", _write_answer(f"{code} " * (MEGABYTE // (len(code) + 1)))),
        ("1 MB of white space in one block", _write_answer(f"{code}{' ' * MEGABYTE}.")),
    ]


def _write_answer(code: str, trace: str = TRACE) -> str:
    return f"{THINK}\n{trace}\n{THINK_END}\n{DIAGNOSIS}{code}{DIAGNOSIS_END}"


def build_list_cases() -> Iterator[AnswerCase]:
    """Yield answers about one stay, with its true codes; the first is the answer that should earn most."""
    truth = ", ".join(code.value for code in TRUE_LIST)
    first, *others = TRUE_LIST
    lists: dict[str, Sequence[Code]] = {
        "gold": TRUE_LIST,
        "the others in reverse": (first, *reversed(others)),
        "all in reverse": TRUE_LIST[::-1],
        "the first at the end": (*others, first),
        "the first alone": (first,),
        "without the first": others,
        "one more, wrong": (*TRUE_LIST, WRONG_LIST[0]),
        "as many wrong ones after": (*TRUE_LIST, *WRONG_LIST),
        "as many wrong ones before": (*WRONG_LIST, *TRUE_LIST),
        "each twice": TRUE_LIST * 2,
        "the first five times": (first,) * 5,
        "categories right": tuple(Code(code.category) for code in TRUE_LIST),
        "five codes of the first one's category": tuple(map(Code, ("I5021", "I5022", "I5023", "I5030", "I509"))),
        "the first, then the 40 commonest": (first, *COMMON_LIST),
        "the 40 commonest": COMMON_LIST,
        "nothing right": WRONG_LIST,
    }
    for name, codes in lists.items():
        yield AnswerCase(name, write_answers(TRACE, codes), truth, is_gold=name == "gold")
    text = write_answers(TRACE, TRUE_LIST)
    yield AnswerCase("a word between the blocks", text.replace("I4891</diagnosis>", "I4891</diagnosis> and"), truth)
    yield AnswerCase("a block without a code", text.replace("N179", "renal failure"), truth)
    yield AnswerCase("all codes in one block", write_answers(TRACE, TRUE_LIST[:1]).replace("I5021", truth), truth)
    yield AnswerCase("no trace", text.replace(TRACE, ""), truth)
    yield AnswerCase(f"{MANY:,} blocks", write_answers(TRACE, TRUE_LIST * (MANY // len(TRUE_LIST))), truth)
