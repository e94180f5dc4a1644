"""A condition for any code without a text of its own: that of its nearest relative, or its chapter's general text.

The code's hierarchy finds the relative: K57.80 looks like the listed diverticulitis of K57. Words of the title, and of
the titles above it, give the body site, the side, how it began and how it behaves: of 'Displaced fracture of left
femur, initial encounter' that it is the left thigh, and that the part looked out of line. The title itself, and what
the release includes under it, stay out of the admission part; the rest of the note may use both.
"""

import re
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from builders.synthetic.disease_knowledge import KNOWLEDGE, Condition, Sex, knowledge, read_yaml
from builders.synthetic.phrases import Phrase
from builders.synthetic.stay import Diagnosis
from deepicd.icd10cm import CHAPTERS, Code, find_chapter, load_release

SHARED = 3
"""First characters that a code has in common with a relative's at least: the category."""
SHARED_WHERE_SITES_DIFFER = 4
SITES_DIFFER = frozenset({2, 13, 15, 19, 20, 21})
"""Chapters whose categories span several body sites or occasions, told apart by the fourth character."""
MANNERS = 3
"""Sentences taken from a title at most."""
SHORTEST_TERM = 8
"""Characters of an inclusion term that is used: shorter ones are words of any note ('Chills')."""

# First category of each ICD-9-CM chapter → chapter of ICD-10-CM; E and V codes are told by their letter.
_ICD9_STARTS = (
    (1, 1), (140, 2), (240, 4), (280, 3), (290, 5), (320, 6), (360, 7), (380, 8), (390, 9), (460, 10), (520, 11),
    (580, 14), (630, 15), (680, 12), (710, 13), (740, 17), (760, 16), (780, 18), (800, 19),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hints:
    sites: tuple[tuple[re.Pattern[str], str], ...]
    manners: tuple[tuple[re.Pattern[str], Phrase], ...]
    default_sites: dict[int, str]
    women_only: re.Pattern[str]
    men_only: re.Pattern[str]


@cache
def hints() -> Hints:
    content = read_yaml(KNOWLEDGE / "hints.yaml")
    return Hints(
        sites=tuple((re.compile(rf"\b(?:{words})"), site) for words, site in content["sites"].items()),
        manners=tuple(
            (re.compile(rf"\b(?:{words})"), Phrase.parse(text)) for words, text in content["manners"].items()
        ),
        default_sites=content["default_sites"],
        women_only=re.compile(content["women_only"]),
        men_only=re.compile(content["men_only"]),
    )


def chapter_number(diagnosis: Diagnosis) -> int:
    """The ICD-10-CM chapter, for an ICD-9 code the one on the same subject.

    >>> [chapter_number(Diagnosis(*code)) for code in (("0389", 9), ("V5811", 9), ("U071", 10))]
    [1, 21, 22]
    """
    code = diagnosis.code
    if diagnosis.version == 10:
        return find_chapter(code[:3]).number
    if not code[:3].isdigit():
        return 20 if code.startswith("E") else 21
    return max(start for start in _ICD9_STARTS if start[0] <= max(1, int(code[:3])))[1]


@cache
def billable_by_chapter() -> dict[int, list[str]]:
    """The release's billable codes in tabular order, chapter by chapter."""
    chapter_by_category = {value: find_chapter(value).number for value in load_release().titles if len(value) == 3}
    found: dict[int, list[str]] = {chapter.number: [] for chapter in CHAPTERS}
    for value in load_release().titles:
        if value in load_release().billable:
            found[chapter_by_category[value[:3]]].append(value)
    return found


@lru_cache(maxsize=4096)
def site_of(diagnosis: Diagnosis, title: str) -> str:
    """The part of the body that a title speaks of, or the titles above it, in everyday words."""
    for words in (title, *_titles_above(diagnosis)):
        if found := next((site for pattern, site in hints().sites if pattern.search(words.lower())), None):
            return found
    return hints().default_sites[chapter_number(diagnosis)]


def _titles_above(diagnosis: Diagnosis) -> list[str]:
    """Of an ICD-10 code's parents, nearest first."""
    if diagnosis.version != 10:
        return []
    return [title for parent in Code(diagnosis.code).prefixes[1:] if (title := load_release().titles.get(parent))]


def side_of(title: str) -> str | None:
    return match[0] if (match := re.search(r"\b(left|right)\b", title.lower())) else None


def sex_of(title: str, chapter: int) -> Sex | None:
    """The sex that a title implies; None for either."""
    words = title.lower()
    if chapter == 15 or hints().women_only.search(words):
        return "F"
    return "M" if hints().men_only.search(words) else None


@cache
def _by_prefix() -> dict[str, Condition]:
    """First characters of listed codes → the condition that owns most of them, by its weight."""
    found: dict[str, Condition] = {}
    for condition in sorted(knowledge().conditions, key=lambda condition: -condition.weight):
        for code in condition.codes:
            for prefix in Code(code).prefixes:
                found.setdefault(prefix, condition)
    return found


def relative(diagnosis: Diagnosis) -> Condition | None:
    """The listed condition whose codes have most in common with this one; None where too little.

    >>> relative(Diagnosis("K5780", 10)).name, relative(Diagnosis("S72352A", 10))
    ('diverticulitis of the colon', None)
    """
    if diagnosis.version != 10 or diagnosis.code[:3] not in _by_prefix():
        return None
    needed = SHARED_WHERE_SITES_DIFFER if chapter_number(diagnosis) in SITES_DIFFER else SHARED
    shared = (prefix for prefix in Code(diagnosis.code).prefixes[1:] if len(prefix) >= needed)
    return next((found for prefix in shared if (found := _by_prefix().get(prefix))), None)


def included(diagnosis: Diagnosis) -> tuple[str, ...]:
    """Other names of a code: the inclusion terms of the release's tabular list."""
    if diagnosis.version != 10:
        return ()
    terms = load_release().inclusion_terms.get(diagnosis.code, ())
    return tuple(term for term in terms if len(term) >= SHORTEST_TERM)


@lru_cache(maxsize=4096)
def unlisted(diagnosis: Diagnosis, title: str) -> Condition:
    """The condition for a code that no knowledge file lists."""
    chapter = chapter_number(diagnosis)
    looks = knowledge().chapters[chapter].general(diagnosis.code[:3])
    sex = sex_of(title, chapter)
    also: tuple[str, ...] = ()
    kin = relative(diagnosis)
    if kin is not None and sex in (None, kin.sex):
        looks, also = kin, (kin.name, *kin.also)
    words = title.lower()
    manners = [sentence for pattern, sentence in hints().manners if pattern.search(words)][:MANNERS]
    return replace(
        looks,
        name=title,
        also=(*also, *included(diagnosis)),
        other_names=(title, *included(diagnosis)),
        codes={diagnosis.code: None},
        retired={},
        sex=sex or looks.sex,
        story=(looks.story[0], *manners, *looks.story[1:]),
    )
