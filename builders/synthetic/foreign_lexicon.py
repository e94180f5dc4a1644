"""The wordings of other hospitals' notes, read from the YAML files in foreign/.

    headers.yaml            what sections are called, and the orders in which they come
    unknown_headers.yaml    headers of the stay that no template knows; histories that run on into the stay
    phrases.yaml, words.yaml  sentences of histories and stays; labels and shorthand

The files share nothing with builders.cohort, so that the sectioner is measured on words it was not written from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from builders.synthetic.generator_knowledge import read_yaml
from builders.synthetic.phrases import Phrase

FOREIGN = Path(__file__).parent / "foreign"


@dataclass(frozen=True, slots=True)
class UnknownEntry:
    header: str
    chapters: frozenset[int]
    """Of the first diagnoses that it makes sense for; empty for all."""
    sentences: tuple[Phrase, ...]


@dataclass(frozen=True, slots=True)
class Lexicon:
    admission: Mapping[str, Sequence[str]]
    """Section → wordings of its header."""
    admission_marked: Mapping[str, Sequence[str]]
    """Wordings that name the admission, for sections after the hospital course."""
    combined: Sequence[tuple[str, tuple[str, str]]]
    """(header over two sections, the sections)"""
    mixed: Sequence[str]
    """Headers over a history and the stay."""
    stay: Mapping[str, Sequence[str]]
    """Kind of text of the stay → wordings of its header."""
    form: Sequence[tuple[str, str]]
    """(label, value) of the form's lines, which are neither history nor stay."""
    orders: Sequence[Sequence[str]]
    """Sections and kinds of text of the stay, in order."""
    unknown: Mapping[str, Sequence[UnknownEntry]]
    """Where it may stand (anywhere, late; runs_on: inside a history, without a header) → entries."""
    lines: Mapping[str, tuple[Phrase, ...]]
    exam_labels: Mapping[str, Sequence[str]]
    """System → label, one per hospital."""
    vitals: Sequence[str]
    vitals_labels: Sequence[str]
    lab_words: Mapping[str, str]
    doses: Mapping[str, Sequence[str]]
    """Shorthand of a prescription → how each hospital writes it."""
    medication_labels: Sequence[str]


@cache
def load_lexicon() -> Lexicon:
    headers: dict[str, Any] = read_yaml(FOREIGN / "headers.yaml")
    words: dict[str, Any] = read_yaml(FOREIGN / "words.yaml")
    phrases: dict[str, str] = read_yaml(FOREIGN / "phrases.yaml")
    unknown: dict[str, str] = read_yaml(FOREIGN / "unknown_headers.yaml")
    return Lexicon(
        combined=[(entry["header"], tuple(entry["sections"])) for entry in headers.pop("combined")],
        form=[tuple(line.split("|")) for line in headers.pop("form")],
        unknown={place: [_parse_entry(line) for line in text.splitlines()] for place, text in unknown.items()},
        lines={name: tuple(map(Phrase.parse, text.splitlines())) for name, text in phrases.items()},
        **headers,
        **words,
    )


def _parse_entry(line: str) -> UnknownEntry:
    start, *sentences = line.split("| ")
    header, _, chapters = start.partition("@")
    numbers = frozenset(map(int, chapters.split(","))) if chapters else frozenset[int]()
    return UnknownEntry(header.strip(), numbers, tuple(Phrase.parse(sentence.strip()) for sentence in sentences))
