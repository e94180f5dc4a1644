"""A stay together with what the generator knows of it: everything that the sentences of its note are drawn from."""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from builders.synthetic.disease_knowledge import KNOWLEDGE, Comorbidity, Condition, knowledge, read_yaml
from builders.synthetic.phrases import Phrase
from builders.synthetic.stay import Diagnosis, Stay
from builders.synthetic.unlisted_codes import side_of, site_of, unlisted
from deepicd.icd10cm import load_release

AGE_SHOWN = 0.3
"""Share of notes that state the age; the others have '___' there, as most de-identified notes do."""


@dataclass(frozen=True, slots=True)
class Case:
    stay: Stay
    condition: Condition
    title: str
    """Of the first diagnosis."""
    comorbidities: tuple[Comorbidity, ...]
    """Those of the other diagnoses that can be named without naming the first."""
    known_before: tuple[str, ...]
    """What a history calls them, in the same words throughout the note."""
    facts: Mapping[str, str]
    rng: random.Random

    def say(self, phrase: Phrase) -> str:
        return phrase.say(self.rng, self.facts)

    def one_of(self, phrases: tuple[Phrase, ...]) -> str:
        return self.say(self.rng.choice(phrases))

    def quiet_one_of(self, phrases: tuple[Phrase, ...]) -> str:
        """One that does not name the first diagnosis."""
        return self.one_of(_quiet(self.condition.telling, phrases))

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    @property
    def newborn(self) -> bool:
        return self.stay.age == 0


def case_of(stay: Stay, titles: Mapping[Diagnosis, str], seed: int) -> Case:
    """The case of a stay. The same stay and seed make the same note, in whatever order notes are written."""
    first = stay.first
    title = title_of(first, titles)
    listed = knowledge().by_code.get((first.code, first.version))
    condition = listed or unlisted(first, title)
    rng = random.Random(f"{seed}/{stay.hadm_id}")
    woman = stay.sex == "F"
    named = {
        "age": str(stay.age) if stay.age <= 89 and rng.random() < AGE_SHOWN else "___",
        "man": ("woman" if woman else "man") if stay.age >= 16 else ("girl" if woman else "boy"),
        "title": "Ms." if woman else "Mr.",
        "he": "she" if woman else "he",
        "He": "She" if woman else "He",
        "his": "her" if woman else "his",
        "His": "Her" if woman else "His",
        "him": "her" if woman else "him",
        "side": side_of(title) or rng.choice(("left", "right")),
        "site": site_of(first, title),
    }
    silent = _giving_away(condition.telling)
    others = {
        found.key: found
        for code in stay.diagnoses[1:]
        if code.code[:3] != first.code[:3]
        and (found := knowledge().comorbidity_of.get(code)) is not None
        and found.key not in silent
    }
    histories = tuple(entry.history.say(rng, named) for entry in others.values() if entry.history is not None)
    return Case(stay, condition, title, tuple(others.values()), histories, named, rng)


def title_of(diagnosis: Diagnosis, titles: Mapping[Diagnosis, str]) -> str:
    """From the copy's own dictionary, the release or the knowledge files; else the code in words."""
    known = knowledge()
    if found := titles.get(diagnosis):
        return found
    if diagnosis.version == 10:
        found = load_release().titles.get(diagnosis.code) or known.retired_titles.get(diagnosis.code)
    else:
        found = known.icd9_titles.get(diagnosis.code)
    return found or f"Condition coded {diagnosis.code} in ICD-{diagnosis.version}-CM"


@lru_cache(maxsize=4096)
def _giving_away(telling: re.Pattern[str]) -> frozenset[str]:
    """Comorbidities whose history or medication would name the condition."""
    return frozenset(
        entry.key
        for entry in knowledge().comorbidities.values()
        for phrase in (entry.history, entry.medication)
        if phrase is not None and telling.search(phrase.source)
    )


@lru_cache(maxsize=8192)
def _quiet(telling: re.Pattern[str], phrases: tuple[Phrase, ...]) -> tuple[Phrase, ...]:
    return tuple(phrase for phrase in phrases if not telling.search(phrase.source))


@dataclass(frozen=True, slots=True)
class Common:
    """What every note has, whatever the disease: common.yaml."""

    lines: Mapping[str, tuple[Phrase, ...]]
    """Sentences by their place: opening, emergency, family, …"""
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
def common() -> Common:
    content = read_yaml(KNOWLEDGE / "common.yaml")

    def phrases(name: str) -> dict[str, Phrase]:
        return {key: Phrase.parse(str(text)) for key, text in content[name].items()}

    return Common(
        lines={
            name: tuple(Phrase.parse(line) for line in text.splitlines())
            for name, text in content.items()
            if isinstance(text, str)
        },
        systems=content["systems"],
        short_systems=content["short_systems"],
        normal=phrases("normal"),
        vitals=phrases("vitals"),
        newborn_vitals=phrases("newborn_vitals"),
        labs=phrases("labs"),
        blood_count=frozenset(content["blood_count"]),
        disposition=content["disposition"],
    )
