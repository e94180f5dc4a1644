"""A condition for any code without a text of its own: its chapter's general text, shaped by the words of its title.

The title itself stays out of the admission part. What a reader may find there is the body site, the side, how it
began and how it behaves: of 'Displaced fracture of left femur, initial encounter' that it is the left thigh, and that
the part looked out of line.
"""

import re
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from builders.synthetic.conditions import KNOWLEDGE, Condition, Sex, knowledge, read_yaml
from builders.synthetic.phrases import Phrase
from builders.synthetic.stay import Diagnosis
from deepicd.icd10cm import CHAPTERS, chapter_of, release

MANNERS = 3
"""Sentences taken from a title at most."""

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
        return chapter_of(code[:3]).number
    if not code[:3].isdigit():
        return 20 if code.startswith("E") else 21
    return max(start for start in _ICD9_STARTS if start[0] <= max(1, int(code[:3])))[1]


@cache
def billable_by_chapter() -> dict[int, list[str]]:
    """The release's billable codes in tabular order, chapter by chapter."""
    chapter_by_category = {value: chapter_of(value).number for value in release().titles if len(value) == 3}
    found: dict[int, list[str]] = {chapter.number: [] for chapter in CHAPTERS}
    for value in release().titles:
        if value in release().billable:
            found[chapter_by_category[value[:3]]].append(value)
    return found


@lru_cache(maxsize=4096)
def site_of(title: str, chapter: int) -> str:
    """The part of the body that a title speaks of, in everyday words."""
    words = title.lower()
    return next((site for pattern, site in hints().sites if pattern.search(words)), hints().default_sites[chapter])


def side_of(title: str) -> str | None:
    return match[0] if (match := re.search(r"\b(left|right)\b", title.lower())) else None


def sex_of(title: str, chapter: int) -> Sex | None:
    """The sex that a title implies; None for either."""
    words = title.lower()
    if chapter == 15 or hints().women_only.search(words):
        return "F"
    return "M" if hints().men_only.search(words) else None


@lru_cache(maxsize=4096)
def unlisted(diagnosis: Diagnosis, title: str) -> Condition:
    """The condition for a code that no knowledge file lists."""
    chapter = chapter_number(diagnosis)
    general = knowledge().chapters[chapter].general(diagnosis.code[:3])
    words = title.lower()
    manners = [sentence for pattern, sentence in hints().manners if pattern.search(words)][:MANNERS]
    return replace(
        general,
        name=title,
        codes={diagnosis.code: None},
        sex=sex_of(title, chapter) or general.sex,
        story=(general.story[0], *manners, *general.story[1:]),
    )
