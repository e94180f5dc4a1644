"""Answers of several diagnoses to test the reward `several` on: good, partly right, and played for the reward."""

from collections.abc import Iterator, Sequence

from deepicd.answer_form import write_answers
from deepicd.icd10cm import Code
from train.rewards.bench_cases import TRACE, AnswerCase

TRUTH = tuple(map(Code, ("I5021", "I4891", "E1122", "N179", "Z7901")))
WRONG = tuple(map(Code, ("J189", "A419", "K7460", "G4733", "F329")))
COMMON = tuple(map(Code, (
    "I10", "E785", "Z87891", "K219", "F329", "I2510", "N179", "F419", "E119", "Z7901", "I4891", "J449", "E039", "Z794",
    "D649", "N390", "E871", "G4733", "E669", "I5032", "J45909", "F17210", "Z7902", "I252", "M109", "N189", "D62",
    "I129", "E876", "J9601", "Y929", "N400", "I5022", "Z8673", "D696", "Z66", "E872", "I480", "K5900", "R6520",
)))  # fmt: skip
"""Forty that many stays have, and two of these."""
MANY = 20_000  # blocks of a hostile answer, some half a megabyte


def build_list_cases() -> Iterator[AnswerCase]:
    """Yield answers about one stay, with its true codes; the first is the answer that should earn most."""
    truth = ", ".join(code.value for code in TRUTH)
    first, *others = TRUTH
    lists: dict[str, Sequence[Code]] = {
        "gold": TRUTH,
        "the others in reverse": (first, *reversed(others)),
        "all in reverse": TRUTH[::-1],
        "the first at the end": (*others, first),
        "the first alone": (first,),
        "without the first": others,
        "one more, wrong": (*TRUTH, WRONG[0]),
        "as many wrong ones after": (*TRUTH, *WRONG),
        "as many wrong ones before": (*WRONG, *TRUTH),
        "each twice": TRUTH * 2,
        "the first five times": (first,) * 5,
        "categories right": tuple(Code(code.category) for code in TRUTH),
        "five codes of the first one's category": tuple(map(Code, ("I5021", "I5022", "I5023", "I5030", "I509"))),
        "the first, then the 40 commonest": (first, *COMMON),
        "the 40 commonest": COMMON,
        "nothing right": WRONG,
    }
    for name, codes in lists.items():
        yield AnswerCase(name, write_answers(TRACE, codes), truth, is_gold=name == "gold")
    text = write_answers(TRACE, TRUTH)
    yield AnswerCase("a word between the blocks", text.replace("I4891</diagnosis>", "I4891</diagnosis> and"), truth)
    yield AnswerCase("a block without a code", text.replace("N179", "renal failure"), truth)
    yield AnswerCase("all codes in one block", write_answers(TRACE, TRUTH[:1]).replace("I5021", truth), truth)
    yield AnswerCase("no trace", text.replace(TRACE, ""), truth)
    yield AnswerCase(f"{MANY:,} blocks", write_answers(TRACE, TRUTH * (MANY // len(TRUTH))), truth)
