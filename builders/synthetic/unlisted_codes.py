"""Build the condition of an unlisted code from its nearest relative, or else from its chapter's general text.

The code hierarchy gives the relative: K57.80 resembles the listed diverticulitis of K57. Words of the title, and of the
titles above it, give body site, side, onset and behavior: 'Displaced fracture of left femur, initial encounter' is
about the left thigh, which looked out of line. The title and its inclusion terms stay out of the admission part; the
rest of the note may use both.
"""

import re
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from builders.synthetic.generator_knowledge import KNOWLEDGE, Condition, Diagnosis, Sex, load_knowledge, read_yaml
from builders.synthetic.phrases import Phrase
from deepicd.icd10cm import CHAPTERS, Code, find_chapter, load_release

SHARED = 3
"""Minimum number of leading characters that a code shares with a relative's code: the category."""
SHARED_WHERE_SITES_DIFFER = 4
SITES_DIFFER = frozenset({2, 13, 15, 19, 20, 21})
"""Chapters whose categories span several body sites or occasions, which the fourth character distinguishes."""
MANNERS = 3
"""Maximum number of sentences taken from a title."""
SHORTEST_TERM = 8
"""Minimum characters of an inclusion term that is used; shorter ones occur in any note ('Chills')."""

# First category of each ICD-9-CM chapter → chapter of ICD-10-CM; E and V codes are recognized by their letter.
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
def load_hints() -> Hints:
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


def find_chapter_number(diagnosis: Diagnosis) -> int:
    """Return the ICD-10-CM chapter; for an ICD-9 code, the chapter on the same subject.

    >>> [find_chapter_number(Diagnosis(*code)) for code in (("0389", 9), ("V5811", 9), ("U071", 10))]
    [1, 21, 22]
    """
    code = diagnosis.code
    if diagnosis.version == 10:
        return find_chapter(code[:3]).number
    if not code[:3].isdigit():
        return 20 if code.startswith("E") else 21
    return max(start for start in _ICD9_STARTS if start[0] <= max(1, int(code[:3])))[1]


@cache
def group_billable_codes() -> dict[int, list[str]]:
    """Group the release's billable codes by chapter, in tabular order."""
    chapter_by_category = {value: find_chapter(value).number for value in load_release().titles if len(value) == 3}
    by_chapter: dict[int, list[str]] = {chapter.number: [] for chapter in CHAPTERS}
    for value in load_release().titles:
        if value in load_release().billable:
            by_chapter[chapter_by_category[value[:3]]].append(value)
    return by_chapter


@lru_cache(maxsize=4096)
def find_site(diagnosis: Diagnosis, title: str) -> str:
    """Return, in everyday words, the body site that a title or a title above it mentions."""
    for words in (title, *_list_parent_titles(diagnosis)):
        if site := next((site for pattern, site in load_hints().sites if pattern.search(words.lower())), None):
            return site
    return load_hints().default_sites[find_chapter_number(diagnosis)]


def _list_parent_titles(diagnosis: Diagnosis) -> list[str]:
    """List the titles of an ICD-10 code's parents, nearest first."""
    if diagnosis.version != 10:
        return []
    return [title for parent in Code(diagnosis.code).prefixes[1:] if (title := load_release().titles.get(parent))]


def find_side(title: str) -> str | None:
    return match[0] if (match := re.search(r"\b(left|right)\b", title.lower())) else None


def find_sex(title: str, chapter: int) -> Sex | None:
    """Return the sex that a title implies; None for either."""
    words = title.lower()
    if chapter == 15 or load_hints().women_only.search(words):
        return "F"
    return "M" if load_hints().men_only.search(words) else None


@cache
def _index_by_prefix() -> dict[str, Condition]:
    """Return prefix → the condition with the greatest weight among those that list a code with it."""
    by_prefix: dict[str, Condition] = {}
    for condition in sorted(load_knowledge().conditions, key=lambda condition: -condition.weight):
        for code in condition.codes:
            for prefix in Code(code).prefixes:
                by_prefix.setdefault(prefix, condition)
    return by_prefix


def find_relative(diagnosis: Diagnosis) -> Condition | None:
    """Return the listed condition whose codes share the most leading characters; None if they share too few.

    >>> find_relative(Diagnosis("K5780", 10)).name, find_relative(Diagnosis("S72352A", 10))
    ('diverticulitis of the colon', None)
    """
    if diagnosis.version != 10 or diagnosis.code[:3] not in _index_by_prefix():
        return None
    needed = SHARED_WHERE_SITES_DIFFER if find_chapter_number(diagnosis) in SITES_DIFFER else SHARED
    shared = (prefix for prefix in Code(diagnosis.code).prefixes[1:] if len(prefix) >= needed)
    return next((condition for prefix in shared if (condition := _index_by_prefix().get(prefix))), None)


def list_inclusion_terms(diagnosis: Diagnosis) -> tuple[str, ...]:
    """List other names of a code: the inclusion terms of the release's tabular list."""
    if diagnosis.version != 10:
        return ()
    terms = load_release().inclusion_terms.get(diagnosis.code, ())
    return tuple(term for term in terms if len(term) >= SHORTEST_TERM)


@lru_cache(maxsize=4096)
def build_unlisted_condition(diagnosis: Diagnosis, title: str) -> Condition:
    """Build the condition of a code that no knowledge file lists."""
    chapter = find_chapter_number(diagnosis)
    described = load_knowledge().chapters[chapter].get_general_condition(diagnosis.code[:3])
    sex = find_sex(title, chapter)
    also: tuple[str, ...] = ()
    relative = find_relative(diagnosis)
    if relative is not None and sex in (None, relative.sex):
        described, also = relative, (relative.name, *relative.also)
    words = title.lower()
    manners = [sentence for pattern, sentence in load_hints().manners if pattern.search(words)][:MANNERS]
    return replace(
        described,
        name=title,
        also=(*also, *list_inclusion_terms(diagnosis)),
        other_names=(title, *list_inclusion_terms(diagnosis)),
        codes={diagnosis.code: None},
        retired={},
        sex=sex or described.sex,
        story=(described.story[0], *manners, *described.story[1:]),
    )
