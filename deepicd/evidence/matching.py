"""Link each claim of a trace to the place in its note that decides it.

    find_evidence("BP 90/60, no fever; possible sepsis.", "BP 95/60. Febrile to 102.")
    # BP 90/60  vital    contradicted by 'BP 95/60' (other value)
    # fever     finding  contradicted by 'Febrile'  (stated)
    # sepsis    finding  inference                  (disease)

A number is supported by the same value, or by a rounded or converted one. The rules, their reasons and their limits are
in docs/evidence.md.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from math import isnan

from deepicd.evidence.claims import Category, Evidence, Kind, drop_overlaps
from deepicd.evidence.lexicon import Lexicon, load_lexicon
from deepicd.evidence.mentions import Mention
from deepicd.evidence.numbers import Number
from deepicd.evidence.quotations import link_quotations
from deepicd.evidence.reading import CANDIDATES, Note, Reading, read_note, read_place_context, read_text
from deepicd.evidence.tokens import Tokens, read_context


def find_evidence(trace: str, note: str) -> list[Evidence]:
    """Return the claims of a trace in order, without overlap, each with what the note says of it."""
    return drop_overlaps(find_all_evidence(trace, note))


def find_all_evidence(trace: str, note: str) -> list[Evidence]:
    """Return the same with the numbers, drugs and findings within a quotation listed after it."""
    source = read_note(note)
    reading = read_text(trace, source.extra)
    claims = sorted([*_link_numbers(reading, source), *_link_mentions(reading, source)], key=_get_order)
    return sorted([*link_quotations(reading.tokens, source), *drop_overlaps(claims)], key=_get_order)


def _get_order(item: Evidence) -> tuple[int, int]:
    return item.claim_start, -item.claim_end


def _link_numbers(reading: Reading, note: Note) -> Iterator[Evidence]:
    lexicon = load_lexicon()
    for number in reading.numbers:
        kind, place, why = link_number(number, reading, note, lexicon)
        yield _write(number.start, number.end, number.category, kind, place, why)


def _write(start: int, end: int, category: Category, kind: Kind, place: Number | Mention | None, why: str) -> Evidence:
    if place is None or kind is Kind.ABSENT:
        return Evidence(start, end, category, kind, None, None, why)
    return Evidence(start, end, category, kind, place.start, place.end, why)


def _link_mentions(reading: Reading, note: Note) -> Iterator[Evidence]:
    lexicon = load_lexicon()
    for mention in reading.mentions:
        if mention.term.sort == "place":
            link = _link_place(mention, reading.tokens, note)
        elif mention.term.sort == "finding":
            link = _link_finding(mention, note, lexicon)
            if mention.side and link[0] is Kind.SUPPORTED:
                place = _link_place(mention, reading.tokens, note)
                link = place if place is not None and place[0] is Kind.CONTRADICTED else link
        else:
            link = _link_drug(mention, note, lexicon)
        if link is not None:
            category = Category.DRUG if mention.term.sort in ("drug", "class") else Category.FINDING
            yield _write(mention.start, mention.end, category, *link)


Link = tuple[Kind, Mention | None, str]


def _link_drug(mention: Mention, note: Note, lexicon: Lexicon) -> Link:
    key = mention.term.key
    if mention.term.sort == "class":
        return _compare(mention, list(islice(note.classes.get(key, ()), CANDIDATES)), "class")
    same = list(islice(note.mentions.get(key, ()), CANDIDATES))
    if same:
        return _compare(mention, same, "drug")
    if key in note.classes:  # 'insulin' of 'insulin glargine'
        return _compare(mention, list(islice(note.classes[key], CANDIDATES)), "class")
    if near := _find_misspelling(key, note):
        return _compare(mention, [near], "spelling")
    for group in lexicon.find_classes(key):
        if named := next((other for other in note.classes.get(group, ()) if other.term.sort == "class"), None):
            return Kind.INFERENCE, named, "class"
    return _compare(mention, [], "drug")


def _find_misspelling(drug: str, note: Note) -> Mention | None:
    """Return a drug of the note that the lexicon knows by its stem only and that is one letter away."""
    for key, others in islice(note.mentions.items(), 400):
        if (
            others[0].term.sort == "drug"
            and abs(len(key) - len(drug)) <= 1
            and len(drug) > 6
            and _is_one_edit(key, drug)
        ):
            return others[0]
    return None


def _is_one_edit(first: str, second: str) -> bool:
    """Return whether two words differ by one letter, added, left out or replaced.

    >>> _is_one_edit("metoprolol", "metoprlol"), _is_one_edit("prednisone", "prednisolone")
    (True, False)
    """
    start = 0
    while start < min(len(first), len(second)) and first[start] == second[start]:
        start += 1
    return any(first[start + skip :] == second[start + other :] for skip, other in ((1, 1), (1, 0), (0, 1)))


def _link_finding(mention: Mention, note: Note, lexicon: Lexicon) -> Link:
    key = mention.term.key
    found = list(islice(note.mentions.get(key, ()), CANDIDATES))
    denied_broader = [
        other
        for broader in lexicon.broader.get(key, ())
        if broader != key
        for other in islice(note.mentions.get(broader, ()), CANDIDATES)
        if other.is_denied and other.term.key == broader
    ]
    fitting = [other for other in found if not mention.site or not other.site or mention.site == other.site]
    if mention.side:
        right = [other for other in fitting if not other.side or "both" in (mention.side, other.side) or
                 other.side == mention.side]  # fmt: skip
        if fitting and not right:
            return (Kind.CONTRADICTED, fitting[0], "other side")
        fitting = right
    return _compare(mention, fitting or ([] if found else denied_broader), "finding")


def _link_place(mention: Mention, tokens: Tokens, note: Note) -> Link | None:
    """Compare a side with that of the place in the note which is most like it, by site and the words around."""
    words = read_place_context(tokens, mention)
    likeness: dict[int, tuple[int, bool, Mention]] = {}
    for word in words:
        for place, others in islice(note.places.get(word, ()), CANDIDATES):
            if place.first not in likeness:
                shared = len(words & others)
                is_same = place.side == mention.side or "both" in (place.side, mention.side)
                if shared > 1 or place.site == mention.site != "":
                    likeness[place.first] = shared, is_same, place
    if not likeness:
        return None  # a side alone claims nothing
    _, is_same, place = max(likeness.values(), key=lambda entry: entry[:2])
    if is_same:
        return Kind.SUPPORTED, place, "exact"
    return (Kind.INFERENCE if mention.is_hedged else Kind.CONTRADICTED), place, "other side"


def _compare(mention: Mention, found: Sequence[Mention], how: str) -> Link:
    """Return the kind of a claim, given the mentions in the note of the same thing."""
    own = [other for other in found if other.is_of_family == mention.is_of_family]
    if same := next((other for other in own if other.is_denied == mention.is_denied), None):
        return Kind.SUPPORTED, same, _say_how(mention, same, how)
    if own:
        if mention.is_hedged and (mention.term.nature == "disease" or how != "finding"):
            return Kind.INFERENCE, own[0], "weighed"
        return Kind.CONTRADICTED, own[0], "stated" if mention.is_denied else "denied"
    if found:  # of the family in one text, of the patient in the other
        return Kind.INFERENCE if mention.is_hedged else Kind.ABSENT, None, "family"
    if mention.is_hedged:
        return Kind.INFERENCE, None, "weighed"
    if mention.is_denied:
        return (Kind.INFERENCE, None, "not mentioned") if mention.term.nature in ("disease", "") else (
            Kind.ABSENT, None, "not mentioned")  # fmt: skip
    if mention.term.nature == "disease" and not mention.is_past and not mention.is_of_family:
        return Kind.INFERENCE, None, "disease"
    return Kind.ABSENT, None, "not mentioned"


def _say_how(mention: Mention, other: Mention, how: str) -> str:
    if how == "spelling":
        return how
    if mention.term.key != other.term.key:
        return "class" if how == "class" else "narrower"
    if mention.term.is_alias == other.term.is_alias:
        return "exact"
    return "brand" if how == "drug" else "synonym"


def link_number(number: Number, reading: Reading, note: Note, lexicon: Lexicon) -> tuple[Kind, Number | None, str]:
    """Return the kind of a number, the note's number that decides it, and why."""
    if (same := _find_same(number, reading.tokens, note)) is not None:
        return Kind.SUPPORTED, same, "exact"
    measured = note.measures.get(number.measure, ()) if number.measure else ()
    for near in islice(measured, CANDIDATES):
        if why := _say_close(number, near):
            return Kind.SUPPORTED, near, why
    if number.unit in lexicon.hours and (other := _find_same_duration(number, note, lexicon)):
        return Kind.SUPPORTED, other, "converted"
    if number.is_limit:
        return Kind.INFERENCE, None, "limit"
    if measured:
        return Kind.CONTRADICTED, measured[0], "other value"
    if number.measure in lexicon.derived:
        return Kind.INFERENCE, None, "computed"
    if other := _find_other_value(number, reading.tokens, note):
        return Kind.CONTRADICTED, other, "other value"
    return Kind.ABSENT, None, "not mentioned"


def _find_same(number: Number, tokens: Tokens, note: Note) -> Number | None:
    """Return the number of the note with this value that fits best; one that measures something else does not."""
    fitting = [other for other in islice(note.values.get(number.value, ()), CANDIDATES) if _fits(number, other)]
    if len(fitting) < 2:
        return fitting[0] if fitting else None
    about = read_context(tokens, number.token, number.token + 1)

    def rank(other: Number) -> tuple[bool, bool, int]:
        is_about = about & read_context(note.reading.tokens, other.token, other.token + 1)
        return other.measure == number.measure, bool(other.unit) and other.unit == number.unit, len(is_about)

    return max(fitting, key=rank)


def _fits(number: Number, other: Number) -> bool:
    if number.unit and other.unit and number.unit != other.unit:
        return False
    if number.value != other.value and number.measure != other.measure:
        return False  # '95' of '95/60'
    if number.measure and other.measure:
        return number.measure == other.measure
    return not (number.measure == "age" or other.measure == "age") or not (number.noun or other.noun)


def _say_close(number: Number, other: Number) -> str:
    """Return how a number says the same as another of the same measure; '' where it does not."""
    ours, theirs = number.amount, other.amount
    if isnan(ours) or isnan(theirs):
        return "rounded" if number.is_about and _is_close_pressure(number.value, other.value) else ""
    if number.is_decade and ours <= theirs < ours + 10:
        return "rounded"
    decimals = len(number.value.partition(".")[2])
    if decimals and round(theirs, decimals) == ours:
        return "rounded"
    if number.is_about and abs(ours - theirs) <= 0.05 * abs(theirs):
        return "rounded"
    if number.measure == "temperature" and min(abs(ours * 1.8 + 32 - theirs), abs(theirs * 1.8 + 32 - ours)) < 0.11:
        return "converted"
    if number.measure == "weight" and {number.unit, other.unit} == {"kg", "lb"}:
        return "converted" if min(abs(ours * 2.2046 - theirs), abs(theirs * 2.2046 - ours)) < 1 else ""
    if number.measure in ("white count", "platelets") and (ours == theirs * 1000 or theirs == ours * 1000):
        return "converted"
    return ""


def _is_close_pressure(ours: str, theirs: str) -> bool:
    pairs = [text.split("/") for text in (ours, theirs)]
    if any(len(pair) != 2 or not all(map(str.isdigit, pair)) for pair in pairs):
        return False
    return all(abs(int(a) - int(b)) <= 5 for a, b in zip(*pairs, strict=True))


def _find_same_duration(number: Number, note: Note, lexicon: Lexicon) -> Number | None:
    """Return a number of the note that is the same time in another unit: '48 hours' for '2 days'."""
    hours = number.amount * lexicon.hours[number.unit]
    for unit, length in lexicon.hours.items():
        if unit != number.unit:
            for other in islice(note.units.get(unit, ()), CANDIDATES):
                if other.measure == number.measure and abs(other.amount * length - hours) <= 0.001 * hours:
                    return other
    return None


def _find_other_value(number: Number, tokens: Tokens, note: Note) -> Number | None:
    """Return a number of the note with another value in the same unit and about the same thing."""
    about = read_context(tokens, number.token, number.token + 1)
    best, most = None, min(len(about), 2) - 1
    for other in islice(note.units.get(number.unit or number.noun, ()), CANDIDATES):
        shared = len(about & read_context(note.reading.tokens, other.token, other.token + 1))
        if shared > max(most, 0) and not other.measure:
            best, most = other, shared
    return best
