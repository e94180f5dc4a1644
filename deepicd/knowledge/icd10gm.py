"""ICD-10-GM: the official list of its codes, and the text of it that fits an ICD-10-CM code, with how far to trust it.

    read_gm_list(Path("icd10gm2025syst_kodes.txt"))["A00.0"]   # 'Cholera durch Vibrio cholerae O:1, Biovar cholerae'
    crosswalk = read_crosswalk(Path("out/scrape/descriptions.parquet"))
    crosswalk.find_description(Code.parse("E11.9"))    # Description(code='E11.9', level='exact', warning='none', …)
    crosswalk.find_description(Code.parse("I50.21"))   # the text of I50, level='3', warning='medium'
    crosswalk.find_description(Code.parse("C7A.8"))    # None: ICD-10-GM has no such category

BfArM publishes the list with the systematic index (https://www.bfarm.de, classifications, downloads, metadata), one
code per line, semicolons between fields: level; place; kind; chapter; group; code as printed ('A00.-'), without marks
('A00'), without dot ('A00'); title; further titles. The title is the field after the codes, wherever these are.

Both classifications derive from the WHO's and share its categories and fourth characters; each country added its own
codes below. So five characters count only in chapter XIII, whose fifth character is the site in both, and in the
categories of gm_five_characters.txt, which were compared one by one: of 124 other matches 42 meant something else. The
warning depends on the length of the match:

  none    exactly a code of the WHO's classification, and the titles do not disagree
  low     the text of the WHO code above: correct for the code, but silent about what distinguishes it
  medium  the text of an "other" or "unspecified" group, of a whole category, or of a fifth character
  high    the same characters, but signs of another meaning; the text of a parent is preferred if there is one

There is no text for a code that GM does not have according to the site or to GM's list of codes (`scrape --gm-list`),
for categories of CM alone (their third character is a letter), for known differences (`DIVERGENCES`), and where CM's
code is not an illness of that kind (CM lists adverse effects of drugs among the poisonings, the WHO does not).

Limits: Meaning is not compared, as GM titles are German and CM titles English; only words with a fixed form in both are
("nicht näher bezeichnet" and "unspecified"). The list of divergences is what we know of, and incomplete.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Literal

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code, load_release
from deepicd.schema import DESCRIPTIONS

GM_CODE = re.compile(r"([A-Z][0-9]{2})(?:\.?([0-9]{1,2}))?(?:\.?-)?[!*+†]?", re.ASCII)


def read_gm_list(path: Path) -> dict[str, str]:
    """Return GM code (dotted) → title. Raises DeepicdError for a file of another form."""
    if not path.is_file():
        raise DeepicdError(f"There is no file {path}.", "Name the list of codes of BfArM's systematic index.")
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    titles = dict(entry for row in csv.reader(text.splitlines(), delimiter=";") if (entry := _read_row(row)))
    if not titles:
        raise DeepicdError(
            f"{path} names no ICD-10-GM code with its title.",
            "Expected lines like '4;T;X;01;A00;A00.0;A00.0;A000;Cholera durch …': BfArM's 'syst_kodes.txt'.",
        )
    return titles


def _read_row(row: list[str]) -> tuple[str, str] | None:
    """Return code and title of a row; None without them."""
    fields = [field.strip() for field in row]
    codes = [at for at, field in enumerate(fields) if GM_CODE.fullmatch(field)]
    if not codes or codes[-1] + 1 >= len(fields):
        return None
    # the first codes are those of the group; the last run of codes is the row's own
    match, title = GM_CODE.fullmatch(fields[codes[-1]]), fields[codes[-1] + 1]
    if match is None or not title:
        return None
    return f"{match[1]}.{match[2]}" if match[2] else match[1], title


Level = Literal["exact", "5", "4", "3"]
"""'exact', or how many characters of the code the text's code has."""
LEVELS: tuple[Level, ...] = ("exact", "5", "4", "3")
BY_LENGTH: Mapping[int, Level] = {5: "5", 4: "4", 3: "3"}

WarningLevel = Literal["none", "low", "medium", "high"]
WARNINGS: tuple[WarningLevel, ...] = ("none", "low", "medium", "high")


@dataclass(frozen=True, slots=True)
class Divergence:
    """Codes, as a pattern of their start (no dot), that CM and GM share in the first `shared` characters only."""

    pattern: str
    shared: int
    why: str


# Known for ICD-10-CM FY2025, ICD-10-GM 2025 and the WHO's ICD-10 of 2019. The first match counts.
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
    Divergence("E1[13]00", 3, "CM: hyperosmolarity without coma; GM: with coma"),
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
    Divergence("Z720", 4, "CM: tobacco; GM: alcohol, tobacco, drugs"),
    Divergence("Z922", 4, "CM: drugs in the past; GM: drugs that are still taken"),
    Divergence("S526", 3, "CM: lower end of the ulna; GM: of ulna and radius"),
)
_DIVERGENCES = [(re.compile(entry.pattern), entry) for entry in DIVERGENCES]

# Words with a fixed form in official titles, English and German: if one title has it, so should the other.
FORMS = {
    "unspecified": re.compile(
        r"\bunspecified\b|\bnot specified\b|\bnicht näher bezeichnet|\bo\.?\s?n\.?\s?A\b", re.IGNORECASE
    ),
    "other": re.compile(r"\bother\b|\bsonstige|\bandere[rnsm]?\b", re.IGNORECASE),
    "without": re.compile(r"\bwithout\b|\bohne\b", re.IGNORECASE),
}
FIVE = 5  # characters of the longest GM code
NOT_AN_ILLNESS = ("Adverse effect of", "Underdosing of")  # titles of CM, T36–T50
GM_SHAPE = re.compile(r"[A-Z][0-9]{2,4}", re.ASCII)  # letters after the first (C7A, G20.A, T38.3X) are CM's own


@dataclass(frozen=True, slots=True)
class Description:
    """A text of ICD-10-GM for a CM code."""

    code: str
    """The GM code of the text, dotted."""
    level: Level
    text: str
    title: str | None = None
    """The official title in GM, as on the page."""
    warning: WarningLevel = "none"
    reasons: tuple[str, ...] = ()
    """Of the warning; empty for 'none'."""


@dataclass(frozen=True)
class Crosswalk:
    """The scraped texts, by GM code without dot, and the codes that the site does not have."""

    texts: Mapping[str, tuple[str | None, str]]
    """GM code → title and text."""
    unknown: frozenset[str] = frozenset()

    def find_description(self, code: Code) -> Description | None:
        """Return the text of the code or of its nearest parent that has one, with a warning; None if GM has none."""
        if (code.title or "").startswith(NOT_AN_ILLNESS):
            return None
        shared = divergence.shared if (divergence := find_divergence(code)) else len(code.value)
        candidates = [
            self._describe(code, prefix)
            for prefix in code.prefixes
            if len(prefix) <= min(shared, _count_shared(prefix)) and GM_SHAPE.fullmatch(prefix) and prefix in self.texts
        ]
        return next((each for each in candidates if each.warning != "high"), candidates[0] if candidates else None)

    def _describe(self, code: Code, prefix: str) -> Description:
        title, text = self.texts[prefix]
        level = "exact" if prefix == code.value else BY_LENGTH[len(prefix)]
        reasons = self._list_reasons(code, prefix, title)
        warning: WarningLevel = max(reasons.values(), key=WARNINGS.index, default="none")
        return Description(str(Code(prefix)), level, text, title, warning, tuple(reasons))

    def _list_reasons(self, code: Code, prefix: str, title: str | None) -> dict[str, WarningLevel]:
        """Return the reasons against the text, with their levels."""
        reasons: dict[str, WarningLevel] = {}
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
            # a WHO code may be reworded, a fifth character may mean something else
            reasons[f"only one title says '{', '.join(forms)}'"] = "high" if len(prefix) == 5 else "medium"
        if code.value[6:] == "S" and code.category >= "S":
            reasons["CM's code is of what an injury left behind, the text of the injury"] = "medium"
        if prefix == code.value and (divergence := find_divergence(code)):
            reasons[divergence.why] = "medium"
        return reasons

    @cached_property
    def _siblings(self) -> dict[str, frozenset[str]]:
        """Four characters → the codes of five characters below them in CM."""
        below: dict[str, set[str]] = {}
        for value in load_release().titles:
            if len(value) >= 5:
                below.setdefault(value[:4], set()).add(value[:5])
        return {parent: frozenset(children) for parent, children in below.items()}


def _count_shared(prefix: str) -> int:
    """Return how many characters of a code mean the same in CM and GM, as far as it was checked."""
    return FIVE if prefix.startswith(("M", *_list_checked())) else FIVE - 1


@cache
def _list_checked() -> tuple[str, ...]:
    """Return the beginnings of the codes whose fifth character was compared: gm_five_characters.txt."""
    lines = (files("deepicd.knowledge") / "gm_five_characters.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def find_divergence(code: Code) -> Divergence | None:
    """Return the known difference between a code's meanings in CM and GM; None without one.

    >>> find_divergence(Code.parse("J96.01")).shared, find_divergence(Code.parse("J18.9"))
    (4, None)
    """
    return next((entry for pattern, entry in _DIVERGENCES if pattern.match(code.value)), None)


def find_differing_forms(title: str | None, other: str | None) -> list[str]:
    """Return the words of `FORMS` that only one of two titles has; empty if a title is missing.

    >>> find_differing_forms("Neutropenia due to infection", "Sonstige Agranulozytose")
    ['other']
    """
    if title is None or other is None:
        return []
    return [name for name, form in FORMS.items() if bool(form.search(title)) != bool(form.search(other))]


def read_crosswalk(path: Path) -> Crosswalk:
    """Read the crosswalk from a table of descriptions. Raises DeepicdError if the file is not one."""
    table = storage.open_parquet(path, DESCRIPTIONS).read(["code", "outcome", "title", "text"]).to_pylist()
    return Crosswalk(
        {Code.parse(row["code"]).value: (row["title"], row["text"]) for row in table if row["outcome"] == "described"},
        frozenset(Code.parse(row["code"]).value for row in table if row["outcome"] == "unknown code"),
    )
