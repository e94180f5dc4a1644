"""Read the code that an answer predicts, or why it predicts none, and advise where most answers are not read.

extract_code("<think>…</think><diagnosis>I50.21</diagnosis>", "form")        # Code(value='I5021')
extract_code("**I50.21** - Acute systolic heart failure", "diagnosis")       # Code(value='I5021')
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

from deepicd import answer_form
from deepicd.answer_form import DIAGNOSIS, THINK, THINK_END, Answer, Answers, list_diagnoses, parse_answers, read_code
from deepicd.icd10cm import Code

Reading = Literal["form", "diagnosis", "list"]
"""form: only a well-formed answer predicts a code. diagnosis: the first diagnosis block, or a line that is a code.
list: the first code of a well-formed answer of several diagnoses."""

NO_ANSWER = "no answer"
NO_DIAGNOSIS = "no diagnosis block"
NO_CODE = "no code in the diagnosis"


def extract_code(text: str | None, reading: Reading, opening: str = "") -> Code | str:
    """Return the code that an answer predicts, or why it predicts none.

    >>> [extract_code("<diagnosis>I50.21</diagnosis>", reading) for reading in ("diagnosis", "form")]
    [Code(value='I5021'), 'missing tag']
    """
    if text is None:
        return NO_ANSWER
    if reading == "form":
        answer = answer_form.parse_answer(opening + text)
        return answer.code if isinstance(answer, Answer) else answer.problem
    if reading == "list":
        several = parse_answers(opening + text)
        return several.codes[0] if isinstance(several, Answers) else several.problem
    diagnosis = answer_form.find_diagnosis(text)
    if diagnosis is None:
        last = text.rpartition(THINK_END)[2].strip()
        is_line = last and "\n" not in last and DIAGNOSIS not in last and THINK not in last
        return (read_code(last) if is_line else None) or NO_DIAGNOSIS
    return read_code(diagnosis) or NO_CODE


def extract_codes(text: str, reading: Reading, opening: str = "") -> list[Code | None]:
    """Return the codes that an answer lists, None for a block without one; read as `extract_code` reads the first.

    >>> extract_codes("<diagnosis>I50.21</diagnosis><diagnosis>I10</diagnosis>", "diagnosis")
    [Code(value='I5021'), Code(value='I10')]
    """
    if reading == "diagnosis":
        first = extract_code(text, reading)
        return list_diagnoses(text) or ([first] if isinstance(first, Code) else [])
    several = parse_answers(opening + text)
    return list(several.codes) if isinstance(several, Answers) else []


def extract_trace(text: str, opening: str = "") -> str:
    """Return the reasoning of an answer, with or without its form; '' for none.

    >>> extract_trace("Cough.</think><diagnosis>J189</diagnosis>"), extract_trace("<diagnosis>J189</diagnosis>")
    ('Cough.', '')
    """
    answer = answer_form.parse_answer(opening + text)
    if isinstance(answer, Answer):
        return answer.trace
    return text.partition(THINK_END)[0].partition(DIAGNOSIS)[0].replace(THINK, "").strip()


def explain_problems(problems: Mapping[str, int | None], rows: int) -> str | None:
    """Return why answers predict nothing, as one line; None if all predict something.

    >>> explain_problems({"missing tag": 10, "no answer": None}, 40)
    'Answers of 40 that predict no code: missing tag 10, no answer withheld.'
    """
    counts = {problem: number for problem, number in sorted(problems.items()) if number != 0}
    if not counts:
        return None
    reasons = ", ".join(f"{name} {'withheld' if number is None else f'{number:,}'}" for name, number in counts.items())
    return f"Answers of {rows:,} that predict no code: {reasons}."


def find_advice(texts: Iterable[str | None], *, reading: Reading, opening: str, is_model: bool) -> str | None:
    """Return the option that reads more answers than now, if most are not read: so no advice ever undoes another.

    `texts`: all answers; `opening`: what the user said that the prompt ended with.
    """
    if reading == "diagnosis":
        return None
    ways: dict[str, tuple[Reading, str]] = {
        "now": (reading, "" if is_model else opening),  # an engine returns the opening with the answers
        "other opening": (reading, "" if opening else THINK),
        "list": ("list", "" if is_model else opening),
        "diagnosis": ("diagnosis", ""),
    }
    given, read = 0, Counter[str]()
    for text in texts:
        if text is not None:
            given += 1
            read.update(name for name, way in ways.items() if isinstance(extract_code(text, *way), Code))
    if 2 * read["now"] > given:
        return None
    if reading == "form" and read["list"] > max(read["now"], given // 2):
        return "Most are well-formed lists of several: evaluate them with --config multi, and a dataset that has it."
    if not is_model and read["other opening"] > max(read["now"], given // 2):
        return (
            "Most are read without --opening: they open their think block themselves."
            if opening
            else f"Most are read with --opening '{THINK}': the prompt had opened their think block."
        )
    if read["diagnosis"] > read["now"]:
        return "More are read with --answers diagnosis, which needs no reasoning."
    return None
