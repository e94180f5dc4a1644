"""Hold what a trace expects against what became of the stay: confirmed, refuted, untouched.

    expected = list_expectations(trace, note, outcome.names)
    for forecast in find_borne_out(expected, outcome):
        print(trace[forecast.start : forecast.end], forecast.verdict, forecast.section)

Counted is what goes beyond the note: a disease, finding, procedure or drug that the note does not state. What is
weighed ('possible', 'consider') can be confirmed and is not refuted by an outcome that rules it out; what is asserted,
denied or argued against can be refuted. Of one thing that a trace names several times, the last assertion counts.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from deepicd.evidence.lexicon import Name, load_lexicon
from deepicd.evidence.mentions import Mention
from deepicd.evidence.reading import CANDIDATES, read_text
from deepicd.verification.outcome_text import OutcomeText


class Verdict(StrEnum):
    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    UNTOUCHED = "untouched"


class Stance(StrEnum):
    """How a trace expects something."""

    ASSERTED = "asserted"
    WEIGHED = "weighed"
    EXCLUDED = "excluded"  # denied, or argued against


@dataclass(frozen=True, slots=True)
class Expectation:
    """A thing that a trace expects beyond its note. Offsets count characters of the trace."""

    start: int
    end: int
    category: str
    """'disease', 'symptom', 'sign', 'procedure', 'drug'."""
    stance: Stance
    mention: Mention


@dataclass(frozen=True, slots=True)
class Forecast:
    """An expectation with what the outcome says of it."""

    start: int
    end: int
    category: str
    stance: Stance
    verdict: Verdict
    section: str
    """Of the outcome; '' where it is silent."""
    by_model: bool = False
    """Whether a model decided, where the rules left it untouched."""


_AGAINST = re.compile(
    r"\b(?:argu(?:es?|ing) against|speaks? against|counts? against|against|rather than|instead of|rules? out|excludes?"
    r"|not explained by|no need (?:for|of)"
    r"|nothing(?: \w+){0,2} (?:speaks|argues|points) (?:for|to|toward)|unlikely(?: to be)?|less likely)"
    r"\s+(?:[\w-]+\s+){0,3}$",
    re.IGNORECASE,
)
_UNLIKELY = re.compile(
    r"^\W{0,3}(?:[\w-]+\s+){0,2}(?:(?:is|are|was|seems|appears|looks|becomes)\s+)?(?:very |much |quite |therefore )?"
    r"(?:unlikely|less likely|improbable|excluded|ruled out|(?:can|could|may) be (?:excluded|ruled out|dismissed))",
    re.IGNORECASE,
)
_REACH = 60  # characters around a name in which it is argued against
_SENTENCE_END = re.compile(r"[.;!?\n]")


def list_expectations(
    trace: str, note: str, names: Mapping[str, Sequence[Name]], given: Collection[str] = ()
) -> list[Expectation]:
    """Return what a trace expects beyond its note, in its order, each thing once.

    `names`: those of the stay, beside the lexicon. `given`: texts that the writer was shown, such as the title of the
    code; what they name is no expectation.
    """
    told = {mention.term.key for text in given for mention in _list_things(text, names)}
    known = _add_broader(told | {mention.term.key for mention in _list_things(note, names) if not mention.is_hedged})
    lexicon = load_lexicon()
    last: dict[str, Expectation] = {}
    for mention in _list_things(trace, names):
        key = mention.term.key
        if key in known or mention.is_past or mention.is_of_family:
            continue
        if told & lexicon.broader.get(key, frozenset()):
            continue  # 'stemi' where the code's title says 'myocardial infarction'
        stance = _read_stance(trace, mention)
        category = mention.term.nature if mention.term.sort == "finding" else "drug"
        if stance is Stance.WEIGHED and key in last:
            continue
        last[key] = Expectation(mention.start, mention.end, category or "finding", stance, mention)
    return sorted(last.values(), key=lambda item: item.start)


def _add_broader(keys: Collection[str]) -> set[str]:
    broader = load_lexicon().broader
    return {above for key in keys for above in broader.get(key, (key,))}


def _list_things(text: str, names: Mapping[str, Sequence[Name]]) -> Iterable[Mention]:
    return (mention for mention in read_text(text, names).mentions if mention.term.sort != "place")


def _read_stance(trace: str, mention: Mention) -> Stance:
    if mention.is_denied:
        return Stance.EXCLUDED
    before = _SENTENCE_END.split(trace[max(mention.start - _REACH, 0) : mention.start])[-1]
    after = _SENTENCE_END.split(trace[mention.end : mention.end + _REACH])[0]
    if _AGAINST.search(before) or _UNLIKELY.search(after):
        return Stance.EXCLUDED
    return Stance.WEIGHED if mention.is_hedged else Stance.ASSERTED


def find_borne_out(expected: Iterable[Expectation], outcome: OutcomeText) -> list[Forecast]:
    """Return each expectation with its verdict."""
    return [_judge(item, outcome) for item in expected]


UNTOUCHED_COST = 0.25  # of a confirmed expectation
FULL = 3  # expectations, all confirmed, that earn everything


def pay(forecasts: Collection[Forecast]) -> float:
    """Return what expectations are worth as a reward, from −1 to 1; 0 without any.

    Confirmed ones less refuted ones and a quarter of the untouched ones, per expectation, or per three where there are
    fewer. So a list of everything, or a vague one, loses by what the outcome does not touch; one safe guess earns a
    third; and a copy of the note, which expects nothing, earns nothing.
    """
    if not forecasts:
        return 0.0
    counts = Counter(one.verdict for one in forecasts)
    untouched = UNTOUCHED_COST * counts[Verdict.UNTOUCHED]
    return (counts[Verdict.CONFIRMED] - counts[Verdict.REFUTED] - untouched) / max(len(forecasts), FULL)


def _judge(item: Expectation, outcome: OutcomeText) -> Forecast:
    mention = item.mention
    found = list(islice(outcome.list_mentions(mention.term.key), CANDIDATES))
    fitting = [other for other in found if not mention.site or not other.site or mention.site == other.site]
    sided = [other for other in fitting
             if not mention.side or not other.side or "both" in (mention.side, other.side)
             or mention.side == other.side]  # fmt: skip
    said = outcome.decide(sided)
    if said is None:
        other_side = outcome.decide(fitting)
        if other_side is None or other_side.is_denied or item.stance is not Stance.ASSERTED:
            return _build(item, Verdict.UNTOUCHED, "")
        return _build(item, Verdict.REFUTED, other_side.section)
    if item.stance is Stance.EXCLUDED:
        return _build(item, Verdict.CONFIRMED if said.is_denied else Verdict.REFUTED, said.section)
    if not said.is_denied:
        return _build(item, Verdict.CONFIRMED, said.section)
    if item.stance is Stance.ASSERTED:
        return _build(item, Verdict.REFUTED, said.section)
    return _build(item, Verdict.UNTOUCHED, "")


def _build(item: Expectation, verdict: Verdict, section: str) -> Forecast:
    return Forecast(item.start, item.end, item.category, item.stance, verdict, section)
