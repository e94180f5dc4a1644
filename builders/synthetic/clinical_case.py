"""A hospital stay, and the clinical case from which the sentences of its note are drawn."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from builders.synthetic.generator_knowledge import Comorbidity, Condition, Diagnosis, load_knowledge
from builders.synthetic.phrases import Phrase
from builders.synthetic.unlisted_codes import build_unlisted_condition, find_side, find_site
from deepicd.icd10cm import load_release

AGE_SHOWN = 0.3
"""Share of notes that state the age; the others have '___' there, as most de-identified notes do."""


@dataclass(frozen=True, slots=True)
class Stay:
    """A stay as the note writer sees it, whether generated here or read from an existing hosp copy."""

    subject_id: int
    hadm_id: int
    sex: str
    """F or M."""
    age: int
    """Years at admission."""
    admitted: str
    """'2150-03-01 14:05:00', as in the tables."""
    discharged: str
    days: int
    """Whole days between the two; may be negative (organ donors)."""
    destination: str
    """discharge_location; '' where unknown, 'DIED' for a death in hospital."""
    diagnoses: tuple[Diagnosis, ...]
    """In billing order."""

    @property
    def first(self) -> Diagnosis:
        return self.diagnoses[0]

    @property
    def has_died(self) -> bool:
        return self.destination == "DIED"


@dataclass(frozen=True, slots=True)
class Case:
    stay: Stay
    condition: Condition
    title: str
    """Of the first diagnosis."""
    comorbidities: tuple[Comorbidity, ...]
    """Other diagnoses that can be named without naming the first."""
    known_conditions: tuple[str, ...]
    """The comorbidities in the words of a history, the same throughout the note."""
    facts: Mapping[str, str]
    rng: random.Random

    def say(self, phrase: Phrase) -> str:
        return phrase.say(self.rng, self.facts)

    def say_one_of(self, phrases: tuple[Phrase, ...]) -> str:
        return self.say(self.rng.choice(phrases))

    def say_quiet_one_of(self, phrases: tuple[Phrase, ...]) -> str:
        """Say a phrase that does not name the first diagnosis."""
        return self.say_one_of(_select_quiet(self.condition.revealing, phrases))

    def chance(self, share: float) -> bool:
        """Return True with this probability."""
        return self.rng.random() < share

    @property
    def is_newborn(self) -> bool:
        return self.stay.age == 0


def build_case(stay: Stay, titles: Mapping[Diagnosis, str], seed: int) -> Case:
    """Build the case of a stay. The same stay and seed give the same note, whatever the order of notes."""
    first = stay.first
    title = find_title(first, titles)
    listed = load_knowledge().by_code.get((first.code, first.version))
    condition = listed or build_unlisted_condition(first, title)
    rng = random.Random(f"{seed}/{stay.hadm_id}")
    is_woman = stay.sex == "F"
    facts = {
        "age": str(stay.age) if stay.age <= 89 and rng.random() < AGE_SHOWN else "___",
        "man": ("woman" if is_woman else "man") if stay.age >= 16 else ("girl" if is_woman else "boy"),
        "title": "Ms." if is_woman else "Mr.",
        "he": "she" if is_woman else "he",
        "He": "She" if is_woman else "He",
        "his": "her" if is_woman else "his",
        "His": "Her" if is_woman else "His",
        "him": "her" if is_woman else "him",
        "side": find_side(title) or rng.choice(("left", "right")),
        "site": find_site(first, title),
    }
    revealing = _find_revealing_comorbidities(condition.revealing)
    others = {
        comorbidity.key: comorbidity
        for code in stay.diagnoses[1:]
        if code.code[:3] != first.code[:3]
        and (comorbidity := load_knowledge().comorbidity_of.get(code)) is not None
        and comorbidity.key not in revealing
    }
    histories = tuple(entry.history.say(rng, facts) for entry in others.values() if entry.history is not None)
    return Case(stay, condition, title, tuple(others.values()), histories, facts, rng)


def find_title(diagnosis: Diagnosis, titles: Mapping[Diagnosis, str]) -> str:
    """Return the title from the copy's dictionary, the release or the knowledge files, or else words with the code."""
    if title := titles.get(diagnosis):
        return title
    known = load_knowledge()
    if diagnosis.version == 10:
        title = load_release().titles.get(diagnosis.code) or known.retired_titles.get(diagnosis.code)
    else:
        title = known.icd9_titles.get(diagnosis.code)
    return title or f"Condition coded {diagnosis.code} in ICD-{diagnosis.version}-CM"


@lru_cache(maxsize=4096)
def _find_revealing_comorbidities(revealing: re.Pattern[str]) -> frozenset[str]:
    """Return the comorbidities whose history or medication would name the condition."""
    return frozenset(
        entry.key
        for entry in load_knowledge().comorbidities.values()
        for phrase in (entry.history, entry.medication)
        if phrase is not None and revealing.search(phrase.source)
    )


@lru_cache(maxsize=8192)
def _select_quiet(revealing: re.Pattern[str], phrases: tuple[Phrase, ...]) -> tuple[Phrase, ...]:
    return tuple(phrase for phrase in phrases if not revealing.search(phrase.source))
