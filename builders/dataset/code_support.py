"""What an admission note has in support of a stay's codes: a finding that it states, a drug, a measured value.

    find_support("PMH: HTN, T2DM. Na 128.", [Code("I10"), Code("E871"), Code("J189")])
    # [Support(Code('I10'), by='finding', start=5, end=8), Support(Code('E871'), by='value', start=16, end=22)]

A title supports its code where the note states every disease, symptom or sign that the title names; so does a term that
the tabular list includes under the code. What is denied, weighed or the family's supports nothing, nor do allergies. A
history supports what lasts. code_support.yaml has other names, drugs, values, and words too vague to support a code.
What no rule finds counts as unsupported: the rules would rather miss a code than add one that cannot be known.

    for codes in read_stay_codes(Path("out/cohort"), "train"):
        codes.list_supported(note)      # ListedCodes(codes=(I21.4, I10), not_supported=(N17.9,), support=(…))

All codes of a stay are known at discharge and stand in the sealed outcome; in the config multi they become what a model
is to answer, and no part of a prompt. It has the first diagnosis and, of the others, those with support.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from deepicd.errors import DeepicdError
from deepicd.evidence.lexicon import Name, Term, load_lexicon
from deepicd.evidence.mentions import Mention
from deepicd.evidence.numbers import Number
from deepicd.evidence.reading import mark_family_sections, read_text
from deepicd.evidence.tokens import split_tokens
from deepicd.icd10cm import Code
from deepicd.outcome import read_codes
from deepicd.parsing import parse_yaml
from deepicd.verification.outcome_text import LONGEST_NAME, SHORTEST_NAME, strip_title

RULES = Path(__file__).with_suffix(".yaml")
By = Literal["finding", "drug", "value"]
_OWN_NAME = "name of "
_NATURES = ("disease", "symptom", "sign", "procedure")
_SECTION = re.compile(r"^(Allergies|Medications on Admission):.*?(?=^[A-Z][A-Za-z /]{2,40}:[ \t]*$|\Z)", re.M | re.S)
"""Sections whose words are read otherwise: an allergy is none of the patient's drugs, '1 CAP' is no pneumonia."""
_HISTORY = re.compile(r"\bpersonal history\b", re.IGNORECASE)
_SUDDEN = re.compile(r"\b(?:acute|initial encounter|ruptured?)\b", re.IGNORECASE)


class Support(NamedTuple):
    """A code with the place in the note that supports it. Offsets count characters."""

    code: Code
    by: By
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Term:
    """Findings of which a note has to state all, so that a title or a term supports its code."""

    keys: frozenset[str]
    sites: frozenset[str]
    is_family: bool
    may_be_past: bool
    must_be_past: bool


@dataclass(frozen=True, slots=True)
class _Value:
    measure: str
    above: float
    below: float

    def has(self, number: Number) -> bool:
        """Return whether a number of a note is such a value. Of a blood pressure, the systolic one counts."""
        if number.measure != self.measure or number.is_limit or number.is_decade:
            return False
        upper = number.value.partition("/")[0]
        amount = float(upper) if "/" in number.value and upper.isdecimal() else number.amount
        return self.above < amount < self.below


@dataclass(frozen=True, slots=True)
class _Rules:
    vague: frozenset[str]
    lasting: tuple[str, ...]
    passing: tuple[str, ...]
    names: Mapping[str, tuple[str, ...]]
    drugs: Mapping[str, tuple[str, ...]]
    values: Mapping[str, tuple[_Value, ...]]


@cache
def _load_rules() -> _Rules:
    read: Any = parse_yaml(RULES.read_bytes())
    return _Rules(
        vague=frozenset(read["vague"]),
        lasting=tuple(read["lasting"]),
        passing=tuple(read["passing"]),
        names={prefix: tuple(name.strip() for name in names.split(",")) for prefix, names in read["names"].items()},
        drugs={prefix: tuple(drugs) for prefix, drugs in read["drugs"].items()},
        values={prefix: tuple(_Value(**value) for value in values) for prefix, values in read["values"].items()},
    )


def find_support(note: str, codes: Sequence[Code]) -> list[Support]:
    """Return the codes that a note supports, in their order, each with the first place of the strongest kind."""
    names: dict[str, list[Name]] = {}
    for code in codes:
        for name in _list_names(code):
            names.setdefault(name.words[0], []).append(name)
    reading = read_text(note, {first: sorted(group, key=_rank) for first, group in names.items()})
    mark_family_sections(note, reading)
    sections = [(match[1], *match.span()) for match in _SECTION.finditer(note)]
    stated = _index(mention for mention in reading.mentions if _is_stated(mention, sections))
    found = (_support(code, stated, reading.numbers) for code in codes)
    return [support for support in found if support is not None]


def _is_stated(mention: Mention, sections: Iterable[tuple[str, int, int]]) -> bool:
    if mention.is_denied or mention.is_hedged or mention.term.sort == "place":
        return False
    inside = next((name for name, start, end in sections if start <= mention.start < end), None)
    return inside is None or (inside != "Allergies" and mention.term.sort in ("drug", "class"))


def _rank(name: Name) -> int:
    return -len(name.words)


def _index(mentions: Iterable[Mention]) -> dict[str, list[Mention]]:
    """Return what is stated, by its name in the lexicon and by those that it is one of."""
    lexicon = load_lexicon()
    stated: dict[str, list[Mention]] = {}
    for mention in mentions:
        key = mention.term.key
        classes = lexicon.find_classes(key) if mention.term.sort == "drug" else frozenset()
        for name in {key, *lexicon.broader.get(key, ()), *classes}:
            stated.setdefault(name, []).append(mention)
    return stated


def _support(code: Code, stated: Mapping[str, Sequence[Mention]], numbers: Iterable[Number]) -> Support | None:
    own = stated.get(f"{_OWN_NAME}{code.value}", ())
    if place := next((mention for mention in own if _fits(mention, _read_term(code, "", is_own=True))), None):
        return Support(code, "finding", place.start, place.end)
    for term in _list_terms(code):
        places = [next((one for one in stated.get(key, ()) if _fits(one, term)), None) for key in sorted(term.keys)]
        known = [place for place in places if place is not None]
        if known and len(known) == len(places):
            first = min(known, key=lambda mention: mention.start)
            return Support(code, "finding", first.start, first.end)
    rules = _load_rules()
    for drug in _find_longest(rules.drugs, code):
        if place := next((one for one in stated.get(drug, ()) if not one.is_of_family and not one.is_past), None):
            return Support(code, "drug", place.start, place.end)
    values = _find_longest(rules.values, code)
    if number := next((one for one in numbers if any(value.has(one) for value in values)), None):
        return Support(code, "value", number.start, number.end)
    return None


def _fits(mention: Mention, term: _Term) -> bool:
    """Return whether a mention states a finding of this term: of the same person, place and time."""
    if mention.is_of_family != term.is_family or (mention.is_past and not term.may_be_past):
        return False
    if term.must_be_past and not mention.is_past:
        return False
    return not term.sites or mention.site in term.sites


@lru_cache(maxsize=2**14)
def _list_terms(code: Code) -> tuple[_Term, ...]:
    """Return what names the code: its title, the terms included under it, and its other names, as findings."""
    terms = [_read_term(code, text) for text in (code.title or "", *code.inclusion_terms)]
    terms += [_read_term(code, text, is_own=True) for text in _find_longest(_load_rules().names, code)]
    vague = _load_rules().vague
    return tuple(term for term in terms if term.keys - vague)


def _read_term(code: Code, text: str, *, is_own: bool = False) -> _Term:
    """Return the findings that a text names. `is_own`: one of our names, which say themselves what is past."""
    mentions = [
        mention
        for mention in read_text(text, {}).mentions
        if mention.term.nature in _NATURES
        and not mention.is_denied  # 'without complication'
        and not (is_own and mention.end - mention.start < len(text))  # 'former smoker' is more than 'smoker'
    ]
    rules = _load_rules()
    lasts = code.value.startswith(rules.lasting) and not code.value.startswith(rules.passing)
    return _Term(
        keys=frozenset(mention.term.key for mention in mentions),
        sites=frozenset(mention.site for mention in mentions if mention.site),
        is_family=any(mention.is_of_family for mention in mentions),
        may_be_past=lasts and not _SUDDEN.search(code.title or ""),
        must_be_past=not is_own and _HISTORY.search(code.title or "") is not None,
    )


def _list_names(code: Code) -> Iterator[Name]:
    """Yield the spellings that support a code as a whole: its title, terms and other names."""
    term = Term("finding", f"{_OWN_NAME}{code.value}", "disease")
    titles = [strip_title(text) for text in (code.title or "", *code.inclusion_terms)]
    for spelling in dict.fromkeys([*titles, *_find_longest(_load_rules().names, code)]):
        words = split_tokens(spelling).words
        is_short = len(spelling) < SHORTEST_NAME
        is_vague = not words or (is_short and spelling in titles) or " ".join(words) in _load_rules().vague
        if not is_vague and len(words) <= LONGEST_NAME:
            yield Name(words, spelling if is_short else None, term)


def _find_longest(table: Mapping[str, Sequence[Any]], code: Code) -> Sequence[Any]:
    """Return the entry of the longest beginning of a code; () for none."""
    return next((table[prefix] for prefix in code.prefixes if prefix in table), ())


@dataclass(frozen=True, slots=True)
class ListedCodes:
    """What a row of the config multi says of its stay's codes."""

    codes: tuple[Code, ...]
    """The first diagnosis, then the others that the note supports, in billing order."""
    not_supported: tuple[Code, ...]
    support: tuple[Support, ...]
    """Of `codes`; the first may have none."""


@dataclass(frozen=True, slots=True)
class StayCodes:
    note_id: str
    codes: tuple[Code, ...]
    """In billing order."""

    def list_supported(self, note: str) -> ListedCodes:
        """Return the codes divided by whether an admission note supports them."""
        support = find_support(note, self.codes)
        known = {found.code for found in support} | {self.codes[0]}
        return ListedCodes(
            codes=tuple(code for code in self.codes if code in known),
            not_supported=tuple(code for code in self.codes if code not in known),
            support=tuple(support),
        )


def read_stay_codes(cohort: Path, split: str) -> Iterator[StayCodes]:
    """Yield the codes of each stay in the cohort's order. Raises DeepicdError for a cohort without sealed outcomes."""
    for note_id, values in read_codes(cohort, split, reader="assemble"):
        yield StayCodes(note_id, tuple(dict.fromkeys(map(Code.parse, values))))


def require_codes(stay: StayCodes | None, note_id: str, first: str) -> StayCodes:
    """Return the codes of a row. Raises DeepicdError where they are another stay's, or begin with another code."""
    if stay is None or stay.note_id != note_id or not stay.codes or stay.codes[0].value != first:
        raise DeepicdError(
            "The outcomes of the cohort are of other rows than the cohort has.", "Build the cohort again: deepicd build"
        )
    return stay
