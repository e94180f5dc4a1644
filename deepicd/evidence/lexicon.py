"""The words that `find_evidence` knows, compiled once from the YAML files beside this module.

A text is read in one pass: each of its words looks up the names that begin with it, and the longest that fits counts.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from deepicd.evidence.tokens import split_tokens
from deepicd.parsing import parse_yaml

_FOLDER = Path(__file__).parent
_SHORT = 2
"""A name of at most so many letters is matched as it is written: PE is no 'pe', T no 't'."""


class Term(NamedTuple):
    """What a name stands for."""

    sort: str
    """'finding', 'drug', 'class', 'measure', 'site', 'side', 'sided site', or a cue: 'deny', 'hedge', 'end', …"""
    key: str
    nature: str = ""
    """Of a finding 'symptom', 'sign', 'disease' or 'procedure'; of a measure its category."""
    is_denial: bool = False
    """The name itself denies the finding: 'afebrile'."""
    reach: int = 0
    """Of a cue, in words."""
    is_alias: bool = False
    """A brand, an abbreviation or another name for the key."""


class Name(NamedTuple):
    words: list[str]
    cased: str | None
    """The spelling that the text must have; None for any case."""
    term: Term


@dataclass(frozen=True, slots=True)
class DrugClass:
    key: str
    ends: tuple[str, ...]
    starts: tuple[str, ...]
    members: frozenset[str]
    strangers: frozenset[str]
    """Drugs with such an ending that do not belong to it."""

    def has(self, drug: str) -> bool:
        if drug in self.members:
            return True
        return drug not in self.strangers and (drug.endswith(self.ends) or drug.startswith(self.starts))


@dataclass(frozen=True, slots=True)
class Lexicon:
    names: Mapping[str, tuple[Name, ...]]
    """First word → names, the longest first."""
    broader: Mapping[str, frozenset[str]]
    """Finding → itself and the findings that it is one of, where there are any."""
    classes: tuple[DrugClass, ...]
    drug_ends: tuple[str, ...]
    drug_starts: tuple[str, ...]
    not_drugs: frozenset[str]
    derived: frozenset[str]
    """Measures that are computed from others."""
    percent: frozenset[str]
    """Measures that may be given in percent."""
    implied: Mapping[str, str]
    """Unit → the measure that it implies."""
    units: Mapping[str, str]
    """Unit as written, in lower case and without spaces → its one name."""
    hours: Mapping[str, float]
    _classes_of: dict[str, frozenset[str]] = field(default_factory=dict)

    def is_drug(self, word: str) -> bool:
        """Return whether a word that is not listed is a drug by the stem of its class."""
        return (
            len(word) > 5
            and (word.endswith(self.drug_ends) or word.startswith(self.drug_starts))
            and word not in self.not_drugs
        )

    def find_classes(self, drug: str) -> frozenset[str]:
        if drug not in self._classes_of:
            self._classes_of[drug] = frozenset(group.key for group in self.classes if group.has(drug))
        return self._classes_of[drug]


@cache
def load_lexicon() -> Lexicon:
    findings, drugs, measured, cues = map(_read, ("findings", "drugs", "measurements", "cues"))
    names: dict[str, list[Name]] = {}
    for listed in (_list_cues(cues), _list_findings(findings), _list_drugs(drugs), _list_measures(measured)):
        for name in listed:
            names.setdefault(name.words[0], []).append(name)
    return Lexicon(
        names={first: tuple(sorted(group, key=_rank)) for first, group in names.items()},
        broader={key: frozenset(_climb(key, findings["broader"])) for key in findings["broader"]},
        classes=tuple(
            DrugClass(
                key,
                tuple(rule.get("ends", ())),
                tuple(rule.get("starts", ())),
                frozenset(rule.get("members", ())),
                frozenset(rule.get("not", ())),
            )
            for key, rule in drugs["classes"].items()
        ),
        drug_ends=tuple(drugs["ends"]),
        drug_starts=tuple(drugs["starts"]),
        not_drugs=frozenset(drugs["not"]),
        derived=frozenset(key for key, rule in measured["measurements"].items() if rule.get("derived")),
        percent=frozenset(key for key, rule in measured["measurements"].items() if rule.get("percent")),
        implied={unit: key for key, rule in measured["measurements"].items() for unit in rule.get("units", ())},
        units={
            spelling.replace(" ", "").lower(): unit
            for unit, spellings in measured["units"].items()
            for spelling in (unit, *_split(spellings))
        },
        hours=measured["hours"],
    )


def _read(name: str) -> Any:
    return parse_yaml((_FOLDER / f"{name}.yaml").read_bytes())


def _split(names: str) -> list[str]:
    return [name for part in names.split(",") if (name := part.strip())]


def _rank(name: Name) -> tuple[int, bool]:
    return -len(name.words), name.cased is None


def _name(spelling: str, term: Term) -> Name:
    words = split_tokens(spelling).words
    return Name(words, spelling if len(spelling) <= _SHORT and spelling != spelling.lower() else None, term)


def _list_cues(cues: Mapping[str, Any]) -> Iterator[Name]:
    for sort, by_reach in cues.items():
        for reach, spellings in by_reach.items() if isinstance(by_reach, dict) else [(0, by_reach)]:
            yield from (_name(spelling, Term(sort, spelling, reach=int(reach))) for spelling in _split(spellings))


def _list_findings(findings: Mapping[str, Any]) -> Iterator[Name]:
    for nature in ("symptom", "sign", "disease", "procedure"):
        for key, spellings in findings[nature].items():
            for spelling in (key, *_split(spellings)):
                is_denial = spelling.startswith("!")
                term = Term("finding", key, nature, is_denial, is_alias=spelling != key)
                yield _name(spelling.removeprefix("!"), term)
    for sort in ("site", "side"):
        for key, spellings in findings[sort].items():
            yield from (_name(spelling, Term(sort, key)) for spelling in (key, *_split(spellings)))
    yield from (_name(spelling, Term("sided site", key)) for spelling, key in findings["sided_site"].items())


def _list_drugs(drugs: Mapping[str, Any]) -> Iterator[Name]:
    for key, spellings in drugs["drugs"].items():
        yield _name(key, Term("drug", key))
        yield from (_name(spelling, Term("drug", key, is_alias=True)) for spelling in _split(spellings))
    for key, rule in drugs["classes"].items():
        if key not in drugs["drugs"]:
            yield from (_name(spelling, Term("class", key)) for spelling in (key, *_split(rule["names"])))


def _list_measures(measured: Mapping[str, Any]) -> Iterator[Name]:
    for key, rule in measured["measurements"].items():
        term = Term("measure", key, rule["category"])
        yield from (_name(spelling, term) for spelling in (key, *_split(rule["names"])))


def _climb(key: str, broader: Mapping[str, str]) -> Iterable[str]:
    climbed = {key}
    while (key := broader.get(key, key)) not in climbed:
        climbed.add(key)
    return climbed
