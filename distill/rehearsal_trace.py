"""Rehearsed traces: an argument in a clinician's order, put together from the note's own sentences.

    rehearse(note, Code("M109"), "Gout, unspecified", "row-1").text

Presentation, pertinent positives, pertinent negatives, two alternatives weighed against the findings, conclusion. Words
between quotations come from rehearsal.yaml and are chosen by the seed. There is no medicine in it beyond a list of
alternatives per chapter: the diagnosis is the one that was asked for.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from deepicd.icd10cm import Code
from deepicd.parsing import parse_yaml
from distill.rehearsal_claims import Claim, RehearsedTrace

PHRASES = Path(__file__).parent / "rehearsal.yaml"

QUOTED_WORDS = 24  # of a quotation, at most
FEWEST_LETTERS = 2
SHARED_LETTERS = 5
"""An alternative that shares a word of this length with the title is no alternative."""

T = TypeVar("T")

STORY = "History of Present Illness"

# The end of a sentence: its full stop, an empty line, or a line that opens a list entry or has a label of its own
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])|\n\s*\n|\n(?=\s*(?:[-#•*]|\d+[.)])|[A-Z][A-Za-z/ ]{0,24}:)")
_BLOCK_END = re.compile(r"\n\n(?=[A-Z][A-Za-z ]+:\n)")
_ITEM_END = re.compile(r"\n|,(?![^()]*\))")
_EDGE = '-#•*"“” .\n'
_NUMBERED = re.compile(r"\d{1,2}[.)]\s+")
_NEGATIVE = re.compile(r"^(?:no|denies|negative)\b|\b(?:denies|denied|without)\b|\b(?:has|had|but) no\b", re.IGNORECASE)
"""Matches a sentence that rules something out."""
_LOOSE_END = re.compile(
    r"(?:[\s,;:(]+(?:a|an|and|as|at|but|by|for|from|had|has|her|his|in|is|of|on|or|that|the|to|was|which|who|with"
    r"|presents|presenting|comes|type))+$|[\s,;:(]+$"
)
"""Words that a quotation does not end in."""
_NORMAL = re.compile(
    r"\b(?:NAD|no acute|well[- ]appearing|comfortable|pleasant|RRR|regular rate|CTAB|clear to|soft, n|supple|NCAT|WWP"
    r"|anicteric|well perfused|no rash|no lesions|A&O|alert and oriented|not elevated|PERRL|intact|warm and dry)"
    r"|: no \w",
    re.IGNORECASE,
)
_VITALS_LINE = re.compile(r"^(?:VS|vitals?|T )\b", re.IGNORECASE)
_HEART_RATE = re.compile(r"\bHR[: ]+(\d{2,3})\b")
_PRESSURE = re.compile(r"\bBP[: ]+(\d{2,3}/\d{2,3})\b")


class Passage(NamedTuple):
    """Words of the note that a trace may quote."""

    text: str
    """Wrapped lines joined."""
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Alternative:
    name: str
    expects: str
    shown_by: re.Pattern[str]
    ruled_out_by: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Phrases:
    frames: Mapping[str, Sequence[str]]
    template: re.Pattern[str]
    """Matches lines of a form, which tell nothing of the patient."""
    alternatives: Mapping[int, Sequence[Alternative]]


@cache
def load_phrases() -> Phrases:
    content: dict[str, Any] = parse_yaml(PHRASES.read_bytes())
    template = re.compile(rf"\b(?:{content.pop('template').replace(' |', '|')})", re.IGNORECASE)
    alternatives = {
        chapter: [_parse_alternative(line) for line in text.splitlines()]
        for chapter, text in content.pop("alternatives").items()
    }
    return Phrases(content, template, alternatives)


def _parse_alternative(line: str) -> Alternative:
    name, expects, words = (field.strip() for field in line.split(" | "))
    shown_by = rf"\b(?:{words})"
    ruled_out_by = rf"\b(?:no|not|without|denies|denied|negative for|never)\b[^.;,:]{{0,40}}{shown_by}"
    return Alternative(name, expects, re.compile(shown_by, re.IGNORECASE), re.compile(ruled_out_by, re.IGNORECASE))


def find_sentences(note: str) -> dict[str, list[Passage]]:
    """Return section → its sentences and list entries as they stand in the note, without bullets and full stops."""
    parts: dict[str, list[Passage]] = {}
    for start, end in _split(_BLOCK_END, note, 0, len(note)):
        header, colon, _ = note[start:end].partition(":\n")
        first = start + len(header) + len(colon)
        spans = (_strip(note, *span) for span in _split(_SENTENCE_END, note, first, end))
        parts[header] = [Passage(note[low:high], low, high) for low, high in spans if high - low > 2]
    return parts


def _split(pattern: re.Pattern[str], text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return the spans between the matches."""
    spans = []
    for match in pattern.finditer(text, start, end):
        spans.append((start, match.start()))
        start = match.end()
    return [*spans, (start, end)]


def _strip(note: str, start: int, end: int) -> tuple[int, int]:
    while start < end and note[start] in _EDGE:
        start += 1
    while start < end and note[end - 1] in _EDGE:
        end -= 1
    return start, end


def rehearse(note: str, code: Code, title: str, seed: object) -> RehearsedTrace:
    """Return the trace of a note with its claims; the same for the same seed."""
    return _Argument(note, random.Random(f"trace:{seed}")).write(code, title)


class _Argument:
    """Sentences with their claims, as they are written."""

    def __init__(self, note: str, chance: random.Random) -> None:
        self.note, self.chance, self.phrases = note, chance, load_phrases()
        self.parts = {section: self._select(passages) for section, passages in find_sentences(note).items()}
        self.paragraphs: list[list[tuple[str, list[Claim]]]] = []
        self.used: set[int] = set()
        """Starts of the passages that were quoted."""
        self.turns: dict[str, list[str]] = {}

    def write(self, code: Code, title: str) -> RehearsedTrace:
        self._present()
        self._list_positives()
        self._list_negatives()
        self._weigh_alternatives(code, title)
        conclusion = self._take("conclusion").format(chapter=code.chapter.title.lower(), title=title or str(code))
        self.paragraphs.append([_infer(conclusion)])
        return _join(self.paragraphs)

    def _select(self, passages: list[Passage]) -> list[Passage]:
        """Return the passages that tell of the patient."""
        return [
            passage
            for passage in passages
            if sum(map(str.isalpha, passage.text)) > FEWEST_LETTERS and not self._is_template(passage.text)
        ]

    def _is_template(self, text: str) -> bool:
        return self.phrases.template.search(" ".join(text.split())) is not None

    def _present(self) -> None:
        complaints, story = self.parts.get("Chief Complaint", []), self.parts.get(STORY, [])
        opening = self._quote("complaint", complaints[:1]) + self._quote("opening", story[:1])
        more = [passage for passage in story[1:6] if not _NEGATIVE.search(passage.text)]
        self.paragraphs.append(opening + self._quote("story", self._pick(more, 3)))

    def _list_positives(self) -> None:
        exam = [line for line in self.parts.get("Physical Exam", []) if not _VITALS_LINE.match(line.text)]
        striking = [line for line in exam if not _NORMAL.search(line.text) and not _NEGATIVE.search(line.text)]
        sentences = self._state_vitals() + self._quote("exam", self._pick(striking, 2))
        past = [item for line in self.parts.get("Past Medical History", []) for item in _list_items(self.note, line)]
        sentences += self._quote("history", self._pick(past[:6], 1))
        sentences += self._quote("medication", self._pick(self.parts.get("Medications on Admission", [])[:6], 1))
        self.paragraphs.append(sentences)

    def _list_negatives(self) -> None:
        story = [passage for passage in self.parts.get(STORY, []) if _NEGATIVE.search(passage.text)]
        plain = [line for line in self.parts.get("Physical Exam", []) if _NORMAL.search(line.text)]
        sentences = self._quote("negative", self._pick(story, 2)) or [_infer(self._take("no_negative"))]
        self.paragraphs.append(sentences + self._quote("plain_exam", self._pick(plain, 1)))

    def _weigh_alternatives(self, code: Code, title: str) -> None:
        words = {word for word in re.findall(r"[a-z]+", title.lower()) if len(word) >= SHARED_LETTERS}
        fitting = [
            alternative
            for alternative in self.phrases.alternatives[code.chapter.number]
            if not words & set(re.findall(r"[a-z]+", alternative.name))
        ]
        sentences = []
        for alternative, frame in zip(self._draw(fitting, 2), ("weigh", "weigh_second"), strict=False):
            sentences += [_infer(_fill(self._take(frame), name=alternative.name)), *self._weigh(alternative)]
        self.paragraphs.append(sentences)

    def _weigh(self, alternative: Alternative) -> list[tuple[str, list[Claim]]]:
        """Weigh what the note says of the findings that an alternative would show."""
        told = [passage for section in (STORY, "Physical Exam") for passage in self.parts.get(section, [])
                if passage.start not in self.used and alternative.shown_by.search(passage.text)]  # fmt: skip
        if against := [passage for passage in told if alternative.ruled_out_by.search(passage.text)]:
            return self._quote("against", against[:1])
        if told:
            return [*self._quote("for_but", told[:1]), _infer(self._take("kept_open"))]
        if alternative.shown_by.search(self.note):  # it was quoted before
            return [_infer(self._take("kept_open"))]
        return [_infer(_fill(self._take("expected"), expects=alternative.expects))]

    def _state_vitals(self) -> list[tuple[str, list[Claim]]]:
        """State heart rate and blood pressure without quotation marks; [] where they have no label."""
        for lines in (self.parts.get("Physical Exam", []), self.parts.get(STORY, [])):
            for line in lines:
                rate, pressure = _HEART_RATE.search(line.text), _PRESSURE.search(line.text)
                if rate and pressure:
                    spans = [self._locate(line, match[1]) for match in (rate, pressure)]
                    return [_state(self._take("vitals"), spans)]
        return []

    def _locate(self, line: Passage, words: str) -> Passage:
        start = self.note.index(words, line.start)
        return Passage(words, start, start + len(words))

    def _quote(self, frame: str, passages: Sequence[Passage]) -> list[tuple[str, list[Claim]]]:
        self.used |= {passage.start for passage in passages}
        return [_state(self._take(frame), [_cut(self.note, passage)]) for passage in passages]

    def _pick(self, passages: Sequence[Passage], most: int) -> list[Passage]:
        """Pick some passages that were not quoted yet, in the order of the note."""
        fresh = [passage for passage in passages if passage.start not in self.used]
        return sorted(self._draw(fresh, most), key=lambda passage: passage.start)

    def _draw(self, items: Sequence[T], most: int) -> list[T]:
        return self.chance.sample(list(items), min(most, len(items)))

    def _take(self, name: str) -> str:
        """Take a wording that this trace does not have yet, as long as there is one."""
        if not self.turns.get(name):
            self.turns[name] = self._draw(self.phrases.frames[name], len(self.phrases.frames[name]))
        return self.turns[name].pop()


def _cut(note: str, passage: Passage) -> Passage:
    """Return the first words of a passage, without the number of a list entry."""
    start = passage.start + (len(match[0]) if (match := _NUMBERED.match(passage.text)) else 0)
    words = list(re.finditer(r"\S+", note[start : passage.end]))[:QUOTED_WORDS]
    end = start + (words[-1].end() if words else 0)
    text = note[start:end]
    if end < passage.end:
        text = _LOOSE_END.sub("", text)
    text = text.rstrip(",;:(")
    return Passage(" ".join(text.split()), start, start + len(text))


def _list_items(note: str, passage: Passage) -> list[Passage]:
    """Return the items of a list that is written in lines or with commas."""
    return [
        Passage(" ".join(note[start:end].split()), start, end)
        for start, end in (_strip(note, *span) for span in _split(_ITEM_END, note, passage.start, passage.end))
        if end - start > FEWEST_LETTERS
    ]


def _fill(frame: str, **values: str) -> str:
    """Fill a frame; {Name} is {name} at the start of a sentence."""
    capital = {key.capitalize(): value[0].upper() + value[1:] for key, value in values.items()}
    return frame.format(**values, **capital)


def _infer(sentence: str) -> tuple[str, list[Claim]]:
    return sentence, [Claim(0, len(sentence), "inference")]


def _state(frame: str, passages: Sequence[Passage]) -> tuple[str, list[Claim]]:
    """Return a sentence with the passages in their places, and its claims."""
    sentence, claims = "", list[Claim]()
    for before, passage in zip(frame.split("{}"), passages, strict=False):
        sentence += before
        claims.append(
            Claim(len(sentence), len(sentence) + len(passage.text), "supported", (passage.start, passage.end))
        )
        sentence += passage.text
    return sentence + frame.split("{}")[-1], claims


def _join(paragraphs: Sequence[Sequence[tuple[str, list[Claim]]]]) -> RehearsedTrace:
    text, claims = "", list[Claim]()
    for paragraph in filter(None, paragraphs):
        text += "\n\n" if text else ""
        for place, (sentence, stated) in enumerate(paragraph):
            text += " " if place else ""
            claims += [Claim(c.start + len(text), c.end + len(text), c.kind, c.note) for c in stated]
            text += sentence
    return RehearsedTrace(text, tuple(claims))
