"""Find sentences of an admission note that give its diagnosis away, by seven signals.

    title       names the first diagnosis by its title, or by the part of it before the first comma
    synonym     names it by an inclusion term of the code or of its category in the release
    code        names it by its code, with or without the dot
    outcome     tells how the stay ended: 'was discharged', 'on discharge', 'expired', 'hospital course'
    course      occurs word for word in the hospital course
    later       is a sentence of a history with a cue of later events (builders.cohort.later_events)
    overlap     has eight words in a row that the hospital course also has

A signal is not a proof: a patient with a history of heart failure may be admitted for heart failure, and the note may
say so at admission. The audit counts signals; the strict filter removes the sentence, history included. It leaves
`overlap` alone: a hospital course often opens with the first words of the present illness.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from builders.cohort.later_events import tells_later_events
from builders.cohort.section_rules import NARRATIVES

Signal = Literal["title", "synonym", "code", "outcome", "course", "later", "overlap"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)

SHORTEST_TERM = 4  # characters of a title or synonym worth looking for
SAME_WORDS = 8  # in a row; more of them in the course too are no coincidence

_OUTCOME = re.compile(
    r"\b(?:(?:was|were|been|be|is) (?:subsequently |then |later )?discharged|(?:on|at|upon|prior to|before) discharge"
    r"|discharged? (?:home|to)|(?:patient|pt|he|she) expired|time of death|hospital course)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(
    r"(?<=[.!?])\s+(?=[A-Z_\"'(])|\n\s*\n|\n(?=\s*(?:[-#•*]|\d+[.)])\s)|\n(?=[A-Z][A-Za-z/ ]{0,24}:)"
)
_WORDS = re.compile(r"[a-z0-9]+")
# Endings of titles that carry no diagnosis of their own.
_VAGUE = re.compile(
    r",? (?:unspecified|not elsewhere classified|NOS|initial encounter|subsequent encounter|sequela)\b.*", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Terms:
    """The phrases that name one code: lower-case words, with a blank at either end."""

    titles: tuple[str, ...]
    synonyms: tuple[str, ...]
    codes: tuple[str, ...]


def build_terms(code: str, title: str, synonyms: Iterable[str] = ()) -> Terms:
    """Return the phrases that name a code.

    >>> build_terms("J189", "Pneumonia, unspecified organism").titles
    (' pneumonia unspecified organism ', ' pneumonia ')
    """
    short = _VAGUE.sub("", title).split(",")[0]
    titles = dict.fromkeys(_normalize(text) for text in (title, short) if len(text) >= SHORTEST_TERM)
    others = dict.fromkeys(_normalize(text) for text in synonyms if len(text) >= SHORTEST_TERM)
    dotted = f" {code[:3].lower()} {code[3:].lower()} " if len(code) > 3 else f" {code.lower()} "
    return Terms(tuple(titles), tuple(text for text in others if text not in titles), (f" {code.lower()} ", dotted))


class Course:
    """A hospital course, for comparison; empty if the note has none."""

    def __init__(self, text: str = "") -> None:
        self.words = _normalize(text) if text else ""

    @cached_property
    def runs(self) -> frozenset[tuple[str, ...]]:
        """All runs of `SAME_WORDS` words."""
        return frozenset(_list_runs(self.words))


def find_signals(sentence: str, terms: Terms, course: Course, section: str = "") -> set[Signal]:
    """Return the signals in one sentence of a section but `overlap`."""
    plain = _normalize(sentence)
    signals: set[Signal] = set()
    if any(title in plain for title in terms.titles):
        signals.add("title")
    if any(synonym in plain for synonym in terms.synonyms):
        signals.add("synonym")
    if any(code in plain for code in terms.codes):
        signals.add("code")
    if _OUTCOME.search(sentence):
        signals.add("outcome")
    if course.words and plain.count(" ") > SAME_WORDS and plain in course.words:
        signals.add("course")
    if section in NARRATIVES and tells_later_events(sentence):
        signals.add("later")
    return signals


def split_sentences(text: str) -> Iterator[str]:
    """Yield sentences, list entries and labelled lines, unchanged."""
    return (piece for piece in _SENTENCE.split(text) if piece.strip())


def find_section_signals(sections: Mapping[str, str], terms: Terms, course: str) -> dict[str, set[Signal]]:
    """Return section → the signals in it."""
    compared = Course(course)
    found = {}
    for name, text in sections.items():
        found[name] = set[Signal]().union(
            *(find_signals(part, terms, compared, name) for part in split_sentences(text))
        )
        if course and not compared.runs.isdisjoint(_list_runs(_normalize(text))):
            found[name].add("overlap")
    return found


def remove_signals(sections: Mapping[str, str], terms: Terms, course: str) -> dict[str, str]:
    """Return the sections without sentences that have a signal, and without sections that are then empty."""
    compared = Course(course)
    kept = {}
    for name, text in sections.items():
        at, spans = 0, []
        for sentence in split_sentences(text):
            at = text.index(sentence, at)
            if not find_signals(sentence, terms, compared, name):
                spans.append((at, at + len(sentence)))
            at += len(sentence)
        if spans:
            kept[name] = _join_spans(text, spans)
    return kept


def _join_spans(text: str, spans: list[tuple[int, int]]) -> str:
    """Return the pieces of a text at these places, each after the white space that preceded it."""
    first, *others = spans
    result, end_before = text[first[0] : first[1]], first[1]
    for begin, end in others:
        between = text[end_before:begin]
        result += between[len(between.rstrip()) :] + text[begin:end]
        end_before = end
    return result


def _list_runs(normal: str) -> Iterator[tuple[str, ...]]:
    """Yield all runs of `SAME_WORDS` words of a normalized text."""
    words = normal.split()
    return zip(*(words[start:] for start in range(SAME_WORDS)), strict=False)


def _normalize(text: str) -> str:
    """Return lower-case words separated by single blanks, with one at either end: phrases in it are whole words."""
    return f" {' '.join(_WORDS.findall(text.casefold()))} "
