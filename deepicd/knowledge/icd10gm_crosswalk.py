"""From an ICD-10-CM code to a text of ICD-10-GM: whose text it is, how it was found, how far to trust it.

    crosswalk = read(Path("out/scrape/descriptions.parquet"))
    crosswalk.description(Code.parse("E11.9"))    # Description(code='E11.9', level='exact', warning='none', …)
    crosswalk.description(Code.parse("I50.21"))   # the text of I50, level='3', warning='medium'
    crosswalk.description(Code.parse("C7A.8"))    # None: ICD-10-GM has no such category

Both classifications are made from the WHO's, and share its categories and fourth characters; what stands below, each
country added by itself. So the length of a match says what it is worth:

  none    the very code of the WHO's classification, and nothing in the titles against it
  low     the text of the WHO code above: true of the code, silent on what sets it apart
  medium  the text of an "other" or "unspecified" group, of a whole category, or of a fifth character
  high    the same characters, but signs that they mean another thing; a text above it is taken where there is one

Nothing is given for a code that the site said GM does not know, for categories of CM alone (their third character is a
letter), for what is known to differ (`DIVERGENCES`), and where CM's code is no illness of the kind (an adverse effect
of a drug stands in CM among the poisonings, in the WHO's classification it does not).

Limits. Meaning is not read: the GM title is German and the CM title English, so only what has a fixed form in both is
compared ("nicht näher bezeichnet" and "unspecified"). The list of divergences is what is known, not what there is.
GM's own list of codes is not at hand: that GM lacks a code is known only of codes that were asked for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from deepicd import storage
from deepicd.icd10cm import Code, load_release
from deepicd.schema import DESCRIPTIONS

Level = Literal["exact", "5", "4", "3"]
"""Whether the text is of the code itself, or how many of its characters the text's code has."""
LEVELS: tuple[Level, ...] = ("exact", "5", "4", "3")
BY_LENGTH: Mapping[int, Level] = {5: "5", 4: "4", 3: "3"}

Warn = Literal["none", "low", "medium", "high"]
WARNINGS: tuple[Warn, ...] = ("none", "low", "medium", "high")


@dataclass(frozen=True, slots=True)
class Divergence:
    """Codes, as a pattern of how they begin (no dot), that CM and GM share on the first `shared` characters only."""

    pattern: str
    shared: int
    why: str


# What is known of ICD-10-CM FY2025 against ICD-10-GM 2025 and the WHO's ICD-10 of 2019. The first that fits counts.
DIVERGENCES = (
    Divergence("[VWXY]", 0, "GM keeps a few collective codes of external causes only"),
    Divergence("U07", 4, "GM adds U07 to the code of the illness, CM puts it first"),
    Divergence("U(?!09)", 0, "codes for special purposes are each country's own"),
    Divergence("O09", 0, "CM: supervision of a high-risk pregnancy; GM: weeks of pregnancy"),
    Divergence("B20", 0, "CM: all HIV disease; GM: HIV disease with infections"),
    Divergence("G20", 3, "CM divides by dyskinesia and fluctuations, GM by severity"),
    Divergence("C800", 3, "CM: disseminated; GM: primary site unknown"),
    Divergence("D70", 3, "the WHO does not divide it; CM and GM do in their own ways"),
    Divergence("F1[0-9]9", 3, "CM: use, unspecified; GM: mental disorder, unspecified"),
    Divergence("F9[01]", 3, "CM divides by kind of inattention and age at onset, GM by conduct and company"),
    Divergence("H54", 3, "the grades of impairment are counted differently"),
    Divergence("I85", 3, "I85.0 in CM: varices with or without bleeding; GM: with bleeding"),
    Divergence("I251", 4, "fifth character in CM: angina; GM: vessels affected"),
    Divergence("J96", 4, "fifth character 1 in CM: with hypoxia; GM: with hypercapnia"),
    Divergence("K57", 4, "fifth character in CM: bleeding of a diverticulitis; GM: also of a diverticulosis"),
    Divergence("L89", 3, "fourth character in CM: place; GM: stage"),
    Divergence("M...[09]", 4, "fifth characters 0 and 9, several places and none stated, are exchanged"),
    Divergence("R13", 3, "the WHO does not divide it; CM: phase of swallowing; GM: care needed"),
    Divergence("R295", 3, "CM: transient paralysis; GM: neglect"),
    Divergence("R65", 3, "fourth character 1 in CM: not infectious; GM: infectious with organ failure"),
    Divergence("S526", 3, "CM: lower end of the ulna; GM: of ulna and radius"),
)
_DIVERGENCES = [(re.compile(entry.pattern), entry) for entry in DIVERGENCES]

# Words with a fixed form in official titles, English and German: what one title has, the other should have.
FORMS = {
    "unspecified": re.compile(r"\bunspecified\b|\bnicht näher bezeichnet|\bo\.?\s?n\.?\s?A\b", re.IGNORECASE),
    "other": re.compile(r"\bother\b|\bsonstige|\bandere[rnsm]?\b", re.IGNORECASE),
    "without": re.compile(r"\bwithout\b|\bohne\b", re.IGNORECASE),
}
NO_ILLNESS_OF_THE_KIND = ("Adverse effect of", "Underdosing of")  # titles of CM, T36–T50
GM_SHAPE = re.compile(r"[A-Z][0-9]{2,4}", re.ASCII)  # a letter further on (C7A, G20.A, T38.3X) is CM's own


@dataclass(frozen=True, slots=True)
class Description:
    """A text of ICD-10-GM shown for a CM code."""

    code: str
    """Whose text it is: a GM code, dotted."""
    level: Level
    text: str
    title: str | None = None
    """Its official title in GM, as on the page."""
    warning: Warn = "none"
    reasons: tuple[str, ...] = ()
    """Why it is not 'none'."""


@dataclass(frozen=True)
class Crosswalk:
    """The texts of a harvest, by GM code without dot, and the codes that the site did not know."""

    texts: Mapping[str, tuple[str | None, str]]
    """GM code → title and text."""
    unknown: frozenset[str] = frozenset()

    def description(self, code: Code) -> Description | None:
        """The text of the code or of its nearest parent with one, warned of as needed; None where GM has none."""
        if (code.title or "").startswith(NO_ILLNESS_OF_THE_KIND):
            return None
        shared = divergence.shared if (divergence := find_divergence(code)) else len(code.value)
        found = [
            self._described(code, prefix)
            for prefix in code.prefixes
            if len(prefix) <= shared and GM_SHAPE.fullmatch(prefix) and prefix in self.texts
        ]
        return next((one for one in found if one.warning != "high"), found[0] if found else None)

    def _described(self, code: Code, prefix: str) -> Description:
        title, text = self.texts[prefix]
        level = "exact" if prefix == code.value else BY_LENGTH[len(prefix)]
        reasons = self._reasons(code, prefix, title)
        warning: Warn = max(reasons.values(), key=WARNINGS.index, default="none")
        return Description(str(Code(prefix)), level, text, title, warning, tuple(reasons))

    def _reasons(self, code: Code, prefix: str, title: str | None) -> dict[str, Warn]:
        """What speaks against the text, and how loudly."""
        reasons: dict[str, Warn] = {}
        if prefix != code.value:
            reasons["the text is of a wider group"] = "low"
            if len(prefix) == 3:
                reasons["the text is of a whole category"] = "medium"
            elif prefix[3] in "89":
                reasons["the text is of an 'other' or 'unspecified' group"] = "medium"
        if len(prefix) == 5:
            reasons["fifth characters are each country's own"] = "medium"
            if lacking := self._siblings.get(prefix[:4], frozenset()) & self.unknown:
                reasons[f"GM lacks {len(lacking)} of CM's codes beside it"] = "high"
        if forms := find_differing_forms(Code(prefix).title, title):
            # a WHO code may be worded anew, a fifth character may be another one altogether
            reasons[f"only one title says '{', '.join(forms)}'"] = "high" if len(prefix) == 5 else "medium"
        if code.value[6:] == "S" and code.category >= "S":
            reasons["CM's code is of what an injury left behind, the text of the injury"] = "medium"
        if prefix == code.value and (divergence := find_divergence(code)):
            reasons[divergence.why] = "medium"
        return reasons

    @cached_property
    def _siblings(self) -> dict[str, frozenset[str]]:
        """Four characters → the codes of five below them in CM."""
        below: dict[str, set[str]] = {}
        for value in load_release().titles:
            if len(value) >= 5:
                below.setdefault(value[:4], set()).add(value[:5])
        return {parent: frozenset(children) for parent, children in below.items()}


def find_divergence(code: Code) -> Divergence | None:
    """What is known of a code's meaning in GM, where that is another one.

    >>> find_divergence(Code.parse("J96.01")).shared, find_divergence(Code.parse("J18.9"))
    (4, None)
    """
    return next((entry for pattern, entry in _DIVERGENCES if pattern.match(code.value)), None)


def find_differing_forms(title: str | None, other: str | None) -> list[str]:
    """Words of `FORMS` that one of two titles has and the other has not; none where a title is missing.

    >>> find_differing_forms("Neutropenia due to infection", "Sonstige Agranulozytose")
    ['other']
    """
    if title is None or other is None:
        return []
    return [name for name, form in FORMS.items() if bool(form.search(title)) != bool(form.search(other))]


def read_crosswalk(path: Path) -> Crosswalk:
    """The crosswalk over a harvest's table. Raises DeepicdError where it is none."""
    table = storage.open_parquet(path, DESCRIPTIONS).read(["code", "outcome", "title", "text"]).to_pylist()
    return Crosswalk(
        {Code.parse(row["code"]).value: (row["title"], row["text"]) for row in table if row["outcome"] == "described"},
        frozenset(Code.parse(row["code"]).value for row in table if row["outcome"] == "unknown code"),
    )
