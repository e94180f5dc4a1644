"""What the generator knows of diseases, read from the YAML files in knowledge/ and validated.

    chapter_09.yaml      a chapter's weight, its listed conditions, and `otherwise`: the text for any other code in it
    comorbidities.yaml   the pool of diagnoses that accompany others
    common.yaml          texts of every note, whatever the disease

Texts are phrases (see phrases.py), written for this project from general medical knowledge.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from builders.synthetic.phrases import Phrase
from deepicd.parsing import parse_yaml

KNOWLEDGE = Path(__file__).parent / "knowledge"

Sex = Literal["F", "M"]


class Diagnosis(NamedTuple):
    code: str
    """Without a dot."""
    version: int
    """9 or 10."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a disease presents at admission and how it develops. Texts up to `labs` never name it; later ones do."""

    name: str
    """The name that the hospital course uses."""
    also: tuple[str, ...] = ()
    """Other words that would give it away."""
    other_names: tuple[str, ...] = ()
    """What a clinician may write as the diagnosis; () means `name`."""
    codes: Mapping[str, Phrase | None]
    """Billable code → a sentence of the present illness that distinguishes it from its neighbors; most common first."""
    icd9: Mapping[str, str] = field(default_factory=dict)
    """ICD-9-CM code → title."""
    retired: Mapping[str, str] = field(default_factory=dict)
    """Codes of earlier fiscal years that the current release no longer holds → title."""
    weight: float = 1.0
    """Relative to the chapter's other conditions."""
    ages: tuple[int, int] = (18, 90)
    sex: Sex | None = None
    service: str = "MEDICINE"
    is_planned: bool = False
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
    def revealing(self) -> re.Pattern[str]:
        """Matches words that name the condition: `name` and `also` as word beginnings, abbreviations as whole words."""
        return _compile_revealing((self.name, *self.also))


@lru_cache(maxsize=4096)
def _compile_revealing(words: tuple[str, ...]) -> re.Pattern[str]:
    parts = (re.escape(word) + (r"\b" if len(word) <= 4 else "") for word in words)
    return re.compile(rf"\b(?:{'|'.join(parts)})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comorbidity:
    """A diagnosis that accompanies others. `history` is None for one that arises during the stay."""

    key: str
    icd10: str
    icd9: str
    icd9_title: str
    weight: float
    ages: tuple[int, int] = (18, 120)
    sex: Sex | None = None
    group: str | None = None
    """A stay has at most one comorbidity per group: systolic or diastolic failure, COPD or asthma."""
    history: Phrase | None = None
    medication: Phrase | None = None


@dataclass(frozen=True, slots=True)
class ChapterKnowledge:
    number: int
    weight: float
    """Relative share of first diagnoses; the weights of all chapters add up to about 100."""
    conditions: tuple[Condition, ...]
    otherwise: Condition
    """For any other code; its name and codes are placeholders: see unlisted_codes.py."""
    within: tuple[tuple[str, str, Condition], ...]
    """(first category, last category, text) for parts of the chapter that `otherwise` does not fit."""

    def get_general_condition(self, category: str) -> Condition:
        """Return the text for a category without a listed condition."""
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
def load_knowledge() -> Knowledge:
    """Read all chapters and the comorbidity pool (0.1 s). Raises ValueError that names the file or entry at fault."""
    chapters = {number: _read_chapter(KNOWLEDGE / f"chapter_{number:02d}.yaml") for number in range(1, 23)}
    pool = {
        key: Comorbidity(key=key, **_parse_fields(entry))
        for key, entry in read_yaml(KNOWLEDGE / "comorbidities.yaml").items()
    }
    conditions = tuple(condition for chapter in chapters.values() for condition in chapter.conditions)
    for condition in conditions:
        if unknown := set(condition.accompanied_by) - set(pool):
            raise ValueError(f"{condition.name}: comorbidities.yaml lacks {', '.join(sorted(unknown))}")
    by_code: dict[tuple[str, int], Condition] = {}
    for condition in conditions:
        for version, codes in ((10, (*condition.codes, *condition.retired)), (9, tuple(condition.icd9))):
            for code in codes:
                if (other := by_code.setdefault((code, version), condition)) is not condition:
                    raise ValueError(f"{code} is listed under both {condition.name} and {other.name}; keep one")
    comorbidity_of = {(entry.icd10, 10): entry for entry in pool.values()}
    comorbidity_of |= {(entry.icd9, 9): entry for entry in pool.values()}
    icd9_titles = {entry.icd9: entry.icd9_title for entry in pool.values()}
    icd9_titles |= {code: title for condition in conditions for code, title in condition.icd9.items()}
    retired_titles = {code: title for condition in conditions for code, title in condition.retired.items()}
    return Knowledge(
        chapters=chapters,
        comorbidities=pool,
        conditions=conditions,
        by_code=by_code,
        comorbidity_of=comorbidity_of,
        icd9_titles=icd9_titles,
        retired_titles=retired_titles,
    )


def _read_chapter(path: Path) -> ChapterKnowledge:
    content = read_yaml(path)
    try:
        return ChapterKnowledge(
            number=int(path.stem[-2:]),
            weight=content["weight"],
            conditions=tuple(Condition(**_parse_fields(entry)) for entry in content["conditions"]),
            otherwise=_parse_general(content["otherwise"]),
            within=tuple(
                (part[:3], part[4:], _parse_general(text)) for part, text in content.get("within", {}).items()
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name}: {error}") from error


def _parse_general(entry: Mapping[str, Any]) -> Condition:
    return Condition(name="", codes={}, **_parse_fields(entry))


def read_yaml(path: Path) -> Any:
    return parse_yaml(path.read_bytes())


PHRASES = frozenset({"complaint", "procedure", "medication"})
PHRASE_LISTS = frozenset({"story", "history", "medications", "findings", "course", "treatment"})
PHRASES_BY_NAME = frozenset({"vitals", "exam", "labs", "exam_after"})


def _parse_fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a YAML mapping into constructor arguments: phrases parsed, '55-90' an age range, lists as tuples."""
    fields: dict[str, Any] = {}
    for key, value in entry.items():
        if key == "ages":
            low, high = str(value).split("-")
            fields[key] = (int(low), int(high))
        elif key == "planned":
            fields["is_planned"] = value
        elif key == "codes":
            fields[key] = {code: Phrase.parse(hint) if hint else None for code, hint in value.items()}
        elif (key == "history" and "icd10" in entry) or key in PHRASES:
            fields[key] = Phrase.parse(value)
        elif key in PHRASE_LISTS:
            fields[key] = tuple(Phrase.parse(line) for line in value.splitlines() if line.strip())
        elif key in PHRASES_BY_NAME:
            fields[key] = {name: Phrase.parse(str(text)) for name, text in value.items()}
        else:
            fields[key] = tuple(value) if isinstance(value, list) else value
    return fields


@dataclass(frozen=True, slots=True)
class CommonTexts:
    """Texts of every note, whatever the disease: common.yaml."""

    lines: Mapping[str, tuple[Phrase, ...]]
    """Place in the note (opening, emergency, family, …) → sentences."""
    systems: Mapping[str, str]
    short_systems: Mapping[str, str]
    normal: Mapping[str, Phrase]
    """System → a normal finding."""
    vitals: Mapping[str, Phrase]
    newborn_vitals: Mapping[str, Phrase]
    labs: Mapping[str, Phrase]
    blood_count: frozenset[str]
    disposition: Mapping[str, str]


@cache
def load_common_texts() -> CommonTexts:
    content = read_yaml(KNOWLEDGE / "common.yaml")
    phrases = {
        name: {key: Phrase.parse(str(text)) for key, text in content[name].items()}
        for name in ("normal", "vitals", "newborn_vitals", "labs")
    }
    return CommonTexts(
        lines={
            name: tuple(Phrase.parse(line) for line in text.splitlines())
            for name, text in content.items()
            if isinstance(text, str)
        },
        systems=content["systems"],
        short_systems=content["short_systems"],
        blood_count=frozenset(content["blood_count"]),
        disposition=content["disposition"],
        **phrases,
    )
