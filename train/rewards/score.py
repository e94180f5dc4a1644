"""What an answer earns in training: for its form and code and, if the scheme says so, length, repetition and a judge.

    scheme = score.parse_scheme("default")
    score.score(["<think>Crackles, orthopnea.</think><diagnosis>I5023</diagnosis>"], ["I5021"], scheme)
    # [Reward(form=1.0, outcome=2.8, length=0.0, repetition=0.0, judge=None)]  .total 3.8

Pure functions of texts: no network, no tables, no heavy imports. Each makes a few linear passes over a text, and no
text, however long or odd, makes one raise. There are four variants:

* `default`: the form is that of `deepicd.answer_form` (every ICD-10-CM code counts, C7A and Z3A too). A code earns
  something only in a well-formed answer, so listing many codes earns nothing. If the form has no weight, the first
  diagnosis block counts, well-formed or not.
* `paper`: equation 1 and the pattern `^[A-Z][0-9]{2}[A-Z0-9]{0,4}$`, taken literally, for comparison (see the docs: it
  pays a wrong code more than a half-right one, and categories such as C7A can never earn the form).
* `authors`: what their code pays at the values of their job files: 15 times the outcome, −1 for no match and for each
  further match, +1 for a trace in the first match, −5 for an empty completion (see `_score_authors`).
* `several`: for the config multi. The form is that of `deepicd.answer_form`; half of the outcome is for the first code,
  half for the list (train.rewards.outcome). Judge and stay judge the trace by the first code.

`judge` is what one point of a judge's score is worth; the score itself comes from outside (train.rewards.judge).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from deepicd import answer_form
from deepicd.answer_form import (
    DIAGNOSIS,
    DIAGNOSIS_END,
    TAGS,
    THINK_END,
    Answer,
    Answers,
    list_diagnoses,
    measure_repetition,
    parse_answers,
    write_answer,
)
from deepicd.config import Config, ConfigError, Number
from deepicd.icd10cm import Code
from deepicd.paper import CODE_PATTERN, EXTRA_MATCH, MALFORMED_JUDGE_SCORE, MIMIC_REASON, NO_MATCH, NOTHING_GENERATED
from train.rewards.outcome import OUTCOMES, Variant, score_list

PAPER_PATTERN = re.compile(CODE_PATTERN)  # used with fullmatch
AUTHORS_MATCH_START = re.compile(r"^(?:<think>|<diagnosis>)", re.MULTILINE)
NO_SPACE = re.compile(r"\S")

Truth = str | Sequence[str]
"""The true code of a note, as a text or as a list of one; for `several` the true codes, in one text or as a list."""
SchemeVariant = Literal[Variant, "several"]

Weight = Annotated[Number, Field(ge=0, le=1000)]
Words = Annotated[int, Field(ge=1, le=1_000_000)]


class RewardScheme(Config):
    """The weight of each part of the reward. A weight of 0 leaves the part out (the paper's ablations)."""

    LATER = frozenset({"borne_out", "points"})

    variant: SchemeVariant = "default"
    form: Weight = 1.0
    outcome: Weight = 1.0
    judge: Weight = 0.0
    """Per point of a score of 1 to 5. The authors' job files pay 0.8 beside outcomes up to 105; 0.2 fits `default`."""
    borne_out: Weight = 0.0
    """What a trace earns whose expectations the stay bears out, all of them (train.rewards.borne_out)."""
    points: Weight = 0.0
    """What a trace earns that meets all points of its stay and none of others (train.rewards.points)."""
    length: Weight = 0.0
    """The penalty at `length_to` words and above; it grows linearly from `length_from` on (DAPO's soft overlong
    punishment)."""
    length_from: Words = 600
    length_to: Words = MIMIC_REASON.words_max  # the longest trace of MIMIC-Reason
    repetition: Weight = 0.0
    """The penalty for a text that only repeats itself, in proportion to the repeated share (deepicd.answer_form)."""
    opening: str = ""
    """The start of the assistant's turn, if it stood in the prompt ('<think>\\n'); put back before parsing."""

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        if self.length_from >= self.length_to:
            raise ConfigError(
                f"length_from {self.length_from} is not below length_to {self.length_to}.",
                "Lower length_from or raise length_to.",
            )
        return self


DEFAULT = RewardScheme()


def parse_scheme(variant: str = "default", **fields: Any) -> RewardScheme:
    """Return a scheme from plain values, as in a recipe. Raises DeepicdError; suggests the nearest name for a typo."""
    return RewardScheme.parse({"variant": variant, **fields}, "the rewards")


class Reward(NamedTuple):
    """What one answer earns, part by part, weights included."""

    form: float
    outcome: float
    length: float
    """0 or less."""
    repetition: float
    """0 or less."""
    judge: float | None
    """None without a judge, a trace to judge or a score; negative for an answer without the form in `authors`."""
    borne_out: float | None = None
    """None where it is not paid for, and without a trace or an outcome; negative where more is refuted."""
    points: float | None = None
    """None where they are not paid for, and without trace, points or grades; negative where more of others are met."""

    @property
    def total(self) -> float:
        optional = (self.judge, self.borne_out, self.points)
        return self.form + self.outcome + self.length + self.repetition + sum(one or 0.0 for one in optional)


def score(
    texts: Sequence[str | None],
    truths: Sequence[Truth],
    scheme: RewardScheme = DEFAULT,
    *,
    judged: Sequence[float | None] | None = None,
    borne_out: Sequence[float | None] | None = None,
    points: Sequence[float | None] | None = None,
) -> list[Reward]:
    """Return what each text earns against its true code (dotted or not).

    `judged`: scores of 1 to 5 or None; `borne_out` and `points`: values from −1 to 1 or None.
    """
    judge_scores = [None] * len(texts) if judged is None else judged
    forecasts = [None] * len(texts) if borne_out is None else borne_out
    grades = [None] * len(texts) if points is None else points
    return [
        _score_answer(text or "", truth, scheme, judge_score)._replace(
            borne_out=_weigh(scheme.borne_out, forecast), points=_weigh(scheme.points, grade)
        )
        for text, truth, judge_score, forecast, grade in zip(
            texts, truths, judge_scores, forecasts, grades, strict=True
        )
    ]


def _weigh(weight: float, value: float | None) -> float | None:
    return None if value is None or not weight else weight * value


def _score_answer(text: str, truth: Truth, scheme: RewardScheme, judge_score: float | None) -> Reward:
    parts = _SCORERS[scheme.variant](text, truth, scheme)
    length, repetition = _penalize(text, scheme)
    points: float | None = judge_score if scheme.judge and has_trace(text, scheme) else None
    if scheme.judge and scheme.variant == "authors" and not parts.form:
        points = MALFORMED_JUDGE_SCORE
    return Reward(
        form=scheme.form * parts.form,
        outcome=scheme.outcome * parts.outcome,
        length=length,
        repetition=repetition,
        judge=None if points is None else scheme.judge * points,
    )


def has_trace(text: str, scheme: RewardScheme) -> bool:
    """Return whether there is a trace to judge: in every variant by the dataset's form, as in train.rewards.judge."""
    return isinstance(answer_form.parse_answer(complete_answer(text, scheme)), Answer)


def complete_answer(text: str, scheme: RewardScheme) -> str:
    """Return an answer as those who judge its trace read it: with its opening, and of a list the first code alone."""
    answer = scheme.opening + text
    if scheme.variant == "several" and isinstance(several := parse_answers(answer), Answers):
        return write_answer(several.trace, several.codes[0])
    return answer


def parse_truths(truth: object) -> list[str]:
    """Return the true codes in a dataset's value: one text, several separated by commas or spaces, or a list.

    >>> parse_truths("I50.21"), parse_truths(["I5021", "e119"]), parse_truths("I5021, E119"), parse_truths(None)
    (['I5021'], ['I5021', 'E119'], ['I5021', 'E119'], [])
    """
    parts = truth if isinstance(truth, (list, tuple)) else [truth]
    words = " ".join(str(part) for part in parts if part is not None).replace(",", " ").split()
    return [word.replace(".", "").upper() for word in words]


class _Parts(NamedTuple):
    """Form and outcome before weights."""

    form: bool
    outcome: float


def _score_default(text: str, truth: Truth, scheme: RewardScheme) -> _Parts:
    text = scheme.opening + text
    answer = answer_form.parse_answer(text)
    if isinstance(answer, Answer):
        return _Parts(True, OUTCOMES["default"](answer.code.value, _get_first_truth(truth)))
    if scheme.form:  # a code outside the form earns nothing, unless the form itself has no weight
        return _Parts(False, 0.0)
    diagnosis = answer_form.find_diagnosis(text)
    code = None if diagnosis is None else Code.find(diagnosis)
    return _Parts(False, OUTCOMES["default"](code.value if code else None, _get_first_truth(truth)))


def _score_paper(text: str, truth: Truth, scheme: RewardScheme) -> _Parts:
    form, diagnosis = _match_paper_form(scheme.opening + text)
    predicted = diagnosis if diagnosis and Code.find(diagnosis) else None  # a list or a sentence is no prediction
    return _Parts(form, OUTCOMES["paper"](predicted, _get_first_truth(truth)))


def _score_authors(text: str, truth: Truth, scheme: RewardScheme) -> _Parts:
    """Return what the authors' code pays, compared with it answer by answer.

    A match is a diagnosis block that opens a line, or one that follows a think block which opens a line. The first one
    decides: its code, dots stripped, earns only where the paper's pattern accepts it (so never C7A, M1A, Z3A, lower
    case, a list or a sentence), and its trace, if there is one, earns the form whatever the code is.

    >>> trace = "<think>Crackles.</think>"
    >>> texts = [f"{trace}<diagnosis>{code}</diagnosis>" for code in ("I50.21", "Z3A39")] + ["<diagnosis>J18", ""]
    >>> [reward.total for reward in score(texts, ["I5021"] * 4, parse_scheme("authors"))]
    [76.0, 0.0, -1.0, -6.0]
    """
    if not text:
        return _Parts(False, NOTHING_GENERATED + NO_MATCH)
    matches = list(_find_authors_matches(scheme.opening + text))
    if not matches:
        return _Parts(False, NO_MATCH)
    trace, diagnosis = matches[0]
    code = diagnosis.replace(".", "").strip()
    outcome = OUTCOMES["authors"](code if PAPER_PATTERN.fullmatch(code) else None, _get_first_truth(truth))
    return _Parts(bool(trace.strip()), outcome + EXTRA_MATCH * (len(matches) - 1))


def _find_authors_matches(text: str) -> Iterator[tuple[str, str]]:
    """Yield trace ('' for none) and diagnosis of each match, in linear time: each end tag is looked for once.

    A trace ends at the first </think> after it and must be followed by a diagnosis block, spaces and line breaks aside.
    """
    last_closing = text.rfind(DIAGNOSIS_END)
    think_end = block = end = -1  # of the trace that is under way: its end tag, and where its diagnosis block begins
    for start in AUTHORS_MATCH_START.finditer(text):
        if start.start() < end:  # inside the match before
            continue
        trace = ""
        if start[0] == DIAGNOSIS:
            begin = start.start()
        else:
            if think_end < start.end():
                if (think_end := text.find(THINK_END, start.end())) < 0:
                    think_end, block = len(text), -1
                elif following := NO_SPACE.search(text, think_end + len(THINK_END)):
                    block = following.start() if text.startswith(DIAGNOSIS, following.start()) else -1
                else:
                    block = -1
            if block < 0:
                continue
            begin, trace = block, text[start.end() : think_end]
        if begin > last_closing:
            continue
        closing = text.find(DIAGNOSIS_END, begin)
        end = closing + len(DIAGNOSIS_END)
        yield trace, text[begin + len(DIAGNOSIS) : closing]


def _score_several(text: str, truth: Truth, scheme: RewardScheme) -> _Parts:
    text, truths = scheme.opening + text, parse_truths(truth)
    answer = parse_answers(text)
    if isinstance(answer, Answers):
        return _Parts(True, score_list([code.value for code in answer.codes], truths))
    if scheme.form:  # as in `default`
        return _Parts(False, 0.0)
    return _Parts(False, score_list([code.value if code else "" for code in list_diagnoses(text)], truths))


_SCORERS = {
    "default": _score_default,
    "paper": _score_paper,
    "authors": _score_authors,
    "several": _score_several,
}


def _get_first_truth(truth: Truth) -> str:
    if isinstance(truth, str) and truth.isalnum():  # the usual case in a dataset: one code without its dot
        return truth.upper()
    return next(iter(parse_truths(truth)), "")


def _match_paper_form(text: str) -> tuple[bool, str | None]:
    """Return whether there is one non-empty block of each and a code of the paper's pattern, and the diagnosis text."""
    diagnosis = answer_form.find_diagnosis(text)
    diagnosis = None if diagnosis is None else diagnosis.strip()
    if not diagnosis or [text.count(tag) for tag in TAGS] != [1, 1, 1, 1]:
        return False, diagnosis
    start, end = text.index(TAGS[0]) + len(TAGS[0]), text.index(TAGS[1])
    return bool(start < end and text[start:end].strip() and PAPER_PATTERN.fullmatch(diagnosis)), diagnosis


def _penalize(text: str, scheme: RewardScheme) -> tuple[float, float]:
    """Return the penalties for length and repetition, each 0 or less."""
    if not scheme.length and not scheme.repetition:
        return 0.0, 0.0
    words = text.split()
    excess = (len(words) - scheme.length_from) / (scheme.length_to - scheme.length_from)
    return (
        0.0 - scheme.length * min(1.0, max(0.0, excess)),  # 0.0 and not -0.0
        0.0 - scheme.repetition * measure_repetition(words) if scheme.repetition else 0.0,
    )
