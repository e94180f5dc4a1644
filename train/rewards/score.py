"""What an answer earns in training: its form, its code, and, where they are asked for, length, loops and a judge.

    scheme = rewards.scheme("default")
    rewards.score(["<think>Crackles, orthopnea.</think><diagnosis>I5023</diagnosis>"], ["I5021"], scheme)
    # [Reward(form=1.0, outcome=2.8, length=0.0, repetition=0.0, judge=None)]  .total 3.8

Pure functions of the texts: no network, no tables, nothing to load. Each is a handful of linear scans, and no text,
however long or odd, makes one raise. Three variants:

* `default`: the form is that of `deepicd.answer_form` (every ICD-10-CM code counts, C7A and Z3A too), and a code is
  paid
  only in an answer that has it, so that many codes in one answer earn nothing. Without a weight on the form any first
  diagnosis block counts.
* `paper`: equation 1 and the pattern `^[A-Z][0-9]{2}[A-Z0-9]{0,4}$` by the letter, for comparison (see docs: it pays
  a wrong code more than a half-right one, and categories such as C7A can never earn the form).
* `authors`: what their job files pay: 15 times the outcome, −1 for no match and for each trace more than one, +1 for
  the form (with the paper's pattern), −5 where nothing was written.

`judge` is what a score of one point is worth; the score itself comes from outside (train.rewards.judge).
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from deepicd import answer_form
from deepicd.answer_form import TAGS, THINK, Answer
from deepicd.engines.recipe import Bounds
from deepicd.engines.recipe import parse_recipe as parse_fields
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.paper import CODE_PATTERN, EXTRA_TRACE, MIMIC_REASON, NOTHING_GENERATED
from deepicd.repetition import measure_repetition
from train.rewards.outcome import OUTCOMES, Variant, score_several

PAPER_PATTERN = re.compile(CODE_PATTERN)
NEUTRAL = 3  # the score that an answer counts with when the judge gave none: the middle, neither gain nor loss


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardScheme:
    """What is paid for what. A weight of 0 leaves a part out (the paper's ablations)."""

    variant: Variant = "default"
    form: float = 1.0
    outcome: float = 1.0
    judge: float = 0.0
    """For each of 1 to 5 points. The authors' job files have 0.8 beside outcomes of up to 105; 0.2 suits `default`."""
    length: float = 0.0
    """Lost in full at `length_to` words, in part from `length_from` on (as DAPO's soft overlong punishment)."""
    length_from: int = 600
    length_to: int = MIMIC_REASON.words_max  # the longest trace of MIMIC-Reason
    repetition: float = 0.0
    """Lost in the measure in which the text repeats itself (deepicd.repetition)."""
    opening: str = ""
    """What the prompt has opened the assistant's turn with ('<think>\\n'), put back before an answer is read."""
    several: bool = False
    """Whether an answer may have several pairs of trace and code, for several true codes."""

    @property
    def options(self) -> dict[str, Any]:
        return asdict(self)


DEFAULT = RewardScheme()

BOUNDS: Bounds = {
    **dict.fromkeys(("form", "outcome", "judge", "length", "repetition"), (0, 1000)),
    "length_from": (1, 1_000_000),
    "length_to": (1, 1_000_000),
}


def parse_scheme(variant: str = "default", **fields: Any) -> RewardScheme:
    """A scheme from plain values, as a recipe has them. Raises DeepicdError, a misspelt name with its nearest."""
    made = parse_fields(RewardScheme, {"variant": variant, **fields}, "the rewards", BOUNDS)
    if made.length_from >= made.length_to:
        raise DeepicdError(
            f"The rewards: length_from {made.length_from} is not below length_to {made.length_to}.", "Swap or widen."
        )
    if made.several and (made.variant != "default" or made.judge):
        raise DeepicdError(
            "The rewards: several codes are paid by the variant 'default' and without a judge only.",
            "Put variant: default and judge: 0, or several: false.",
        )
    return made


class Reward(NamedTuple):
    """What one answer earns, part by part, weights included."""

    form: float
    outcome: float
    length: float
    """0 or less."""
    repetition: float
    """0 or less."""
    judge: float | None
    """None where no judge was asked: the scheme has none, or there is no trace to judge."""

    @property
    def total(self) -> float:
        return self.form + self.outcome + self.length + self.repetition + (self.judge or 0.0)


def score(
    texts: Sequence[str | None],
    truths: Sequence[str | Sequence[str]],
    scheme: RewardScheme = DEFAULT,
    *,
    judged: Sequence[int | None] | None = None,
) -> list[Reward]:
    """What each text earns against its true code (dotted or not). `judged`: scores of 1 to 5, None for none given."""
    scores = [None] * len(texts) if judged is None else judged
    return [_reward(text or "", truth, scheme, point) for text, truth, point in zip(texts, truths, scores, strict=True)]


def _reward(text: str, truth: str | Sequence[str], scheme: RewardScheme, point: int | None) -> Reward:
    answer = _several(text, truth, scheme) if scheme.several else _ONE[scheme.variant](text, truth, scheme)
    length, repetition = _shape(text, scheme)
    return Reward(
        form=scheme.form * answer.form,
        outcome=scheme.outcome * answer.outcome,
        length=length,
        repetition=repetition,
        judge=scheme.judge * (NEUTRAL if point is None else point)
        if scheme.judge and _has_trace(text, scheme)
        else None,
    )


def _has_trace(text: str, scheme: RewardScheme) -> bool:
    """Whether there is something to judge, in every variant by the dataset's own form (as train.rewards.judge asks)."""
    return isinstance(answer_form.parse_answer(scheme.opening + text), Answer)


def parse_truths(truth: object) -> list[str]:
    """The true codes in what a dataset has for them: one text, several with commas or spaces between, or a list.

    >>> parse_truths("I50.21"), parse_truths(["I5021", "e119"]), parse_truths("I5021, E119"), parse_truths(None)
    (['I5021'], ['I5021', 'E119'], ['I5021', 'E119'], [])
    """
    parts = truth if isinstance(truth, (list, tuple)) else [truth]
    words = " ".join(str(part) for part in parts if part is not None).replace(",", " ").split()
    return [word.replace(".", "").upper() for word in words]


class _Answer(NamedTuple):
    """An answer before weights."""

    form: bool
    outcome: float


def _default(text: str, truth: str | Sequence[str], scheme: RewardScheme) -> _Answer:
    text = scheme.opening + text
    answer = answer_form.parse_answer(text)
    if isinstance(answer, Answer):
        return _Answer(True, OUTCOMES["default"](answer.code.value, _first(truth)))
    if scheme.form:  # a code without the form earns nothing, unless the form is not paid for at all
        return _Answer(False, 0.0)
    named = answer_form.find_diagnosis(text)
    code = None if named is None else Code.find(named)
    return _Answer(False, OUTCOMES["default"](code.value if code else None, _first(truth)))


def _paper(text: str, truth: str | Sequence[str], scheme: RewardScheme) -> _Answer:
    form, named = _by_the_letter(scheme.opening + text)
    return _Answer(form, OUTCOMES["paper"](named, _first(truth)))


def _authors(text: str, truth: str | Sequence[str], scheme: RewardScheme) -> _Answer:
    if not text.strip():
        return _Answer(False, NOTHING_GENERATED)
    text = scheme.opening + text
    form, named = _by_the_letter(text)
    extra = max(0, text.count(THINK) - 1)
    return _Answer(form, OUTCOMES["authors"](named, _first(truth)) + EXTRA_TRACE * extra)


_ONE = {"default": _default, "paper": _paper, "authors": _authors}


def _first(truth: str | Sequence[str]) -> str:
    if isinstance(truth, str) and truth.isalnum():  # as datasets have it; the rest is for what is dotted or several
        return truth.upper()
    return next(iter(parse_truths(truth)), "")


def _by_the_letter(text: str) -> tuple[bool, str | None]:
    """Whether there is one block of each with text in it and a code of the paper's pattern; and the text for a code."""
    named = answer_form.find_diagnosis(text)
    named = None if named is None else named.strip()
    if not named or [text.count(tag) for tag in TAGS] != [1, 1, 1, 1]:
        return False, named
    start, end = text.index(TAGS[0]) + len(TAGS[0]), text.index(TAGS[1])
    return bool(start < end and text[start:end].strip() and PAPER_PATTERN.fullmatch(named)), named


def _several(text: str, truth: str | Sequence[str], scheme: RewardScheme) -> _Answer:
    answers = answer_form.parse_answers(scheme.opening + text)
    if not isinstance(answers, tuple):
        return _Answer(False, 0.0)
    return _Answer(True, score_several([answer.code.value for answer in answers], parse_truths(truth)))


def _shape(text: str, scheme: RewardScheme) -> tuple[float, float]:
    """What length and repetition cost."""
    if not scheme.length and not scheme.repetition:
        return 0.0, 0.0
    words = text.split()
    over = (len(words) - scheme.length_from) / (scheme.length_to - scheme.length_from)
    return (
        0.0 - scheme.length * min(1.0, max(0.0, over)),  # 0.0 and not -0.0
        0.0 - scheme.repetition * measure_repetition(words) if scheme.repetition else 0.0,
    )
