"""What the generator knows of diseases: the YAML files in knowledge/, read once and checked while reading.

One file a chapter (`chapter_09.yaml`): its weight, its listed conditions, and `otherwise`, the text for any other code
of the chapter. One pool of accompanying diagnoses (`comorbidities.yaml`). All of it is written by us.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from builders.synthetic.phrases import Phrase

KNOWLEDGE = Path(__file__).parent / "knowledge"

Sex = Literal["F", "M"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How one disease looks on admission and what becomes of it. Texts up to `labs` never name it; the rest do."""

    name: str
    """As the hospital course calls it."""
    also: tuple[str, ...] = ()
    """Other words that would give it away."""
    other_names: tuple[str, ...] = ()
    """What a clinician may write for a diagnosis; the name where there are none."""
    codes: Mapping[str, Phrase | None]
    """Billable code → a sentence of the present illness that sets it apart from its neighbours; commonest first."""
    icd9: Mapping[str, str] = field(default_factory=dict)
    """ICD-9-CM code → title."""
    retired: Mapping[str, str] = field(default_factory=dict)
    """Codes of earlier fiscal years that the release no longer holds → title."""
    weight: float = 1.0
    """Against its chapter's other conditions."""
    ages: tuple[int, int] = (18, 90)
    sex: Sex | None = None
    service: str = "MEDICINE"
    planned: bool = False
    """Admitted by appointment, not through the emergency department."""
    accompanied_by: tuple[str, ...] = ()
    """Keys of the comorbidity pool."""
    complaint: Phrase
    story: tuple[Phrase, ...]
    history: tuple[Phrase, ...] = ()
    medications: tuple[Phrase, ...] = ()
    vitals: Mapping[str, Phrase] = field(default_factory=dict)
    exam: Mapping[str, Phrase] = field(default_factory=dict)
    labs: Mapping[str, Phrase] = field(default_factory=dict)
    findings: tuple[Phrase, ...] = ()
    course: tuple[Phrase, ...] = ()
    procedure: Phrase | None = None
    treatment: tuple[Phrase, ...] = ()
    """New medications at discharge."""
    exam_after: Mapping[str, Phrase] = field(default_factory=dict)

    @property
    def telling(self) -> re.Pattern[str]:
        """Finds what names it: `also` in words that begin so, abbreviations as whole words only."""
        return _telling((self.name, *self.also))


@lru_cache(maxsize=4096)
def _telling(words: tuple[str, ...]) -> re.Pattern[str]:
    parts = (re.escape(word) + (r"\b" if len(word) <= 4 else "") for word in words)
    return re.compile(rf"\b(?:{'|'.join(parts)})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comorbidity:
    """A diagnosis that accompanies others. `history` is None for what arises during the stay."""

    key: str
    icd10: str
    icd9: str
    icd9_title: str
    weight: float
    ages: tuple[int, int] = (18, 120)
    sex: Sex | None = None
    group: str | None = None
    """A stay has one of a group at most: systolic or diastolic failure, COPD or asthma."""
    history: Phrase | None = None
    medication: Phrase | None = None


@dataclass(frozen=True, slots=True)
class ChapterKnowledge:
    number: int
    weight: float
    """Of its first diagnoses, against the other chapters; all of them sum to little more than a hundred."""
    conditions: tuple[Condition, ...]
    otherwise: Condition
    """For any other code; its name and codes are placeholders: see unlisted.py."""
    within: tuple[tuple[str, str, Condition], ...]
    """First and last category of parts of the chapter that `otherwise` does not fit, and what does."""

    def general(self, category: str) -> Condition:
        """The text for a category that has none of its own."""
        return next((text for first, last, text in self.within if first <= category <= last), self.otherwise)


@dataclass(frozen=True, slots=True)
class Knowledge:
    chapters: Mapping[int, ChapterKnowledge]
    comorbidities: Mapping[str, Comorbidity]
    conditions: tuple[Condition, ...]
    by_code: Mapping[tuple[str, int], Condition]
    """(code, version) → the listed condition."""
    comorbidity_of: Mapping[tuple[str, int], Comorbidity]
    icd9_titles: Mapping[str, str]
    retired_titles: Mapping[str, str]


@cache
def knowledge() -> Knowledge:
    """All files, read once a process (0.1 s). Raises ValueError, with the file's name, for a mistake in one."""
    chapters = {number: _chapter(KNOWLEDGE / f"chapter_{number:02d}.yaml") for number in range(1, 23)}
    pool = {
        key: Comorbidity(key=key, **_fields(entry))
        for key, entry in read_yaml(KNOWLEDGE / "comorbidities.yaml").items()
    }
    conditions = tuple(condition for chapter in chapters.values() for condition in chapter.conditions)
    for condition in conditions:
        if unknown := set(condition.accompanied_by) - set(pool):
            raise ValueError(f"{condition.name}: no comorbidity {', '.join(sorted(unknown))}")
    by_code: dict[tuple[str, int], Condition] = {}
    for condition in conditions:
        for version, codes in ((10, (*condition.codes, *condition.retired)), (9, tuple(condition.icd9))):
            for code in codes:
                if by_code.setdefault((code, version), condition) is not condition:
                    raise ValueError(f"{code} stands under {condition.name} and {by_code[code, version].name}")
    return Knowledge(
        chapters=MappingProxyType(chapters),
        comorbidities=MappingProxyType(pool),
        conditions=conditions,
        by_code=MappingProxyType(by_code),
        comorbidity_of=MappingProxyType(
            {(entry.icd10, 10): entry for entry in pool.values()} | {(entry.icd9, 9): entry for entry in pool.values()}
        ),
        icd9_titles=MappingProxyType(
            {entry.icd9: entry.icd9_title for entry in pool.values()}
            | {code: title for condition in conditions for code, title in condition.icd9.items()}
        ),
        retired_titles=MappingProxyType(
            {code: title for condition in conditions for code, title in condition.retired.items()}
        ),
    )


def _chapter(path: Path) -> ChapterKnowledge:
    content = read_yaml(path)
    try:
        return ChapterKnowledge(
            number=int(path.stem[-2:]),
            weight=content["weight"],
            conditions=tuple(Condition(**_fields(entry)) for entry in content["conditions"]),
            otherwise=_general(content["otherwise"]),
            within=tuple((part[:3], part[4:], _general(text)) for part, text in content.get("within", {}).items()),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def _general(entry: Mapping[str, Any]) -> Condition:
    return Condition(name="", codes={}, **_fields(entry))


def read_yaml(path: Path) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where there is one: ten times faster
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)


PHRASE = frozenset({"complaint", "procedure", "medication"})
LINES = frozenset({"story", "history", "medications", "findings", "course", "treatment"})
BY_NAME = frozenset({"vitals", "exam", "labs", "exam_after"})


def _fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A YAML mapping as constructor arguments: phrases parsed, '55-90' an age range, lists as tuples."""
    fields: dict[str, Any] = {}
    for key, value in entry.items():
        if key == "ages":
            low, high = str(value).split("-")
            fields[key] = (int(low), int(high))
        elif key == "codes":
            fields[key] = {code: Phrase.parse(hint) if hint else None for code, hint in value.items()}
        elif (key == "history" and "icd10" in entry) or key in PHRASE:
            fields[key] = Phrase.parse(value)
        elif key in LINES:
            fields[key] = _phrases(value.splitlines())
        elif key in BY_NAME:
            fields[key] = {name: Phrase.parse(str(text)) for name, text in value.items()}
        else:
            fields[key] = tuple(value) if isinstance(value, list) else value
    return fields


def _phrases(lines: Iterable[str]) -> tuple[Phrase, ...]:
    return tuple(Phrase.parse(line) for line in lines if line.strip())
