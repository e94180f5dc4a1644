"""ICD-10-CM: codes, their categories and chapters, and the titles of the FY2025 release.

    >>> code = Code.parse(" i50.21 ")
    >>> str(code), code.value, code.category, code.chapter.roman
    ('I50.21', 'I5021', 'I50', 'IX')

Shapes and chapters need no data. Titles and validity come from the tabular XML of April 2025 that `simple-icd-10-cm`
1.4.0 carries. Parsing it takes two seconds, more than everything else that most commands do, so the result is cached in
the user's cache folder (Linux: ~/.cache/deepicd), which may be deleted at any time.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from pathlib import Path

from deepicd import storage
from deepicd.errors import BadCode, DeepicdError

CACHE_NAME = "icd10cm-fy2025-1.4.0-1.json"
"""Contains the library's version, which pyproject.toml pins, and the version of the cache's format."""

# Letter, digit, then a digit or one of the letters that ten categories carry (C4A, C7A, C7B, D3A, I1A, M1A, …);
# FY2026 adds QA0. Characters 4 to 7 are free: placeholders X, laterality, encounter letters.
SHAPE = re.compile(r"(?:[A-Z][0-9][0-9AB]|QA[0-9])(?:\.?[0-9A-Z]{1,4})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Chapter:
    """One of the 22 chapters. `ranges` are inclusive and of categories: (('A00', 'B99'),)."""

    number: int
    roman: str
    title: str
    ranges: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.number}. {self.title} ({', '.join(f'{a}–{b}' for a, b in self.ranges)})"


# Number, Roman numeral, first and last category, title: ICD-10-CM FY2025 tabular list, whose titles end in the
# range.
CHAPTERS: tuple[Chapter, ...] = tuple(
    Chapter(number, roman, title, ((first, last),))
    for number, roman, first, last, title in [
        (1, "I", "A00", "B99", "Certain infectious and parasitic diseases"),
        (2, "II", "C00", "D49", "Neoplasms"),
        (3, "III", "D50", "D89", "Diseases of the blood and blood-forming organs and certain disorders involving"
         " the immune mechanism"),
        (4, "IV", "E00", "E89", "Endocrine, nutritional and metabolic diseases"),
        (5, "V", "F01", "F99", "Mental, Behavioral and Neurodevelopmental disorders"),
        (6, "VI", "G00", "G99", "Diseases of the nervous system"),
        (7, "VII", "H00", "H59", "Diseases of the eye and adnexa"),
        (8, "VIII", "H60", "H95", "Diseases of the ear and mastoid process"),
        (9, "IX", "I00", "I99", "Diseases of the circulatory system"),
        (10, "X", "J00", "J99", "Diseases of the respiratory system"),
        (11, "XI", "K00", "K95", "Diseases of the digestive system"),
        (12, "XII", "L00", "L99", "Diseases of the skin and subcutaneous tissue"),
        (13, "XIII", "M00", "M99", "Diseases of the musculoskeletal system and connective tissue"),
        (14, "XIV", "N00", "N99", "Diseases of the genitourinary system"),
        (15, "XV", "O00", "O9A", "Pregnancy, childbirth and the puerperium"),
        (16, "XVI", "P00", "P96", "Certain conditions originating in the perinatal period"),
        (17, "XVII", "Q00", "Q99", "Congenital malformations, deformations and chromosomal abnormalities"),
        (18, "XVIII", "R00", "R99", "Symptoms, signs and abnormal clinical and laboratory findings, not elsewhere"
         " classified"),
        (19, "XIX", "S00", "T88", "Injury, poisoning and certain other consequences of external causes"),
        (20, "XX", "V00", "Y99", "External causes of morbidity"),
        (21, "XXI", "Z00", "Z99", "Factors influencing health status and contact with health services"),
        (22, "XXII", "U00", "U85", "Codes for special purposes"),
    ]
)  # fmt: skip

# Where each chapter starts in alphabetical order: U (22) stands between T (19) and V (20).
_NAMES = """Infections; Neoplasms; Blood, immunity; Endocrine, metabolic; Mental, behavioral; Nervous system; Eye; Ear;
Circulatory; Respiratory; Digestive; Skin; Musculoskeletal; Genitourinary; Pregnancy, childbirth; Perinatal; Congenital;
Symptoms, signs; Injury, poisoning; External causes; Health services; Special purposes"""
SHORT_NAMES = dict(zip((each.roman for each in CHAPTERS), map(str.strip, _NAMES.split(";")), strict=True))
"""Roman numeral of a chapter → a name that fits beside a bar."""

_BY_START = sorted(CHAPTERS, key=lambda chapter: chapter.ranges[0][0])
_STARTS = [chapter.ranges[0][0] for chapter in _BY_START]


def find_chapter(category: str) -> Chapter:
    """Return the chapter of a category. One past the last category of a chapter (D92, U99) counts as part of it.

    >>> find_chapter("C7A").number, find_chapter("H59").number, find_chapter("H60").number, find_chapter("U07").number
    (2, 7, 8, 22)
    """
    return _BY_START[bisect_right(_STARTS, category) - 1]


@dataclass(frozen=True, slots=True, order=True)
class Code:
    """One ICD-10-CM code, of three to seven characters, stored without its dot as MIMIC stores it.

    A well-formed code need not exist: see `in_release` and `is_billable`.

    >>> str(Code.parse("T383X6A")), Code.parse("z3a.08").category, Code.parse("I10").value
    ('T38.3X6A', 'Z3A', 'I10')
    """

    value: str

    @classmethod
    def parse(cls, text: str) -> "Code":
        """Parse a text that is one code, with or without its dot, in any case, padded or not. Raises BadCode."""
        # .upper() would turn look-alikes into ASCII ('ı' becomes 'I'), so the test comes first
        bare = text.strip()
        if bare.isascii() and SHAPE.fullmatch(upper := bare.upper()):
            return cls(upper.replace(".", ""))
        shown = bare if len(bare) <= 12 else f"{bare[:12]}…"
        raise BadCode(
            f"{shown!r} is not an ICD-10-CM code.",
            "A code is a letter, a digit, a digit or A/B, then up to four letters or digits: I10, I50.21, C7A.8.",
        )

    @classmethod
    @lru_cache(maxsize=2**16)  # a corpus repeats the same few thousand codes
    def find(cls, text: str) -> "Code | None":
        """Parse like `parse`, but return None for a text that is not a code."""
        try:
            return cls.parse(text)
        except BadCode:
            return None

    def __str__(self) -> str:
        return self.value if len(self.value) == 3 else f"{self.value[:3]}.{self.value[3:]}"

    @property
    def category(self) -> str:
        """The first three characters."""
        return self.value[:3]

    @property
    def chapter(self) -> Chapter:
        return find_chapter(self.category)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The code and its parents down to the category, longest first, without dots.

        >>> Code.parse("I50.21").prefixes
        ('I5021', 'I502', 'I50')
        """
        return tuple(self.value[:length] for length in range(len(self.value), 2, -1))

    @property
    def title(self) -> str | None:
        """The title in the release; None for a code that is not part of it."""
        return load_release().titles.get(self.value)

    @property
    def inclusion_terms(self) -> tuple[str, ...]:
        """Other names that the tabular list has for the code and its parents, the nearest first."""
        terms = load_release().inclusion_terms
        return tuple(dict.fromkeys(term for prefix in self.prefixes for term in terms.get(prefix, ())))

    @property
    def in_release(self) -> bool:
        return self.value in load_release().titles

    @property
    def is_billable(self) -> bool:
        """Whether the code is a leaf of the release; a stay may be billed under leaves only."""
        return self.value in load_release().billable


@dataclass(frozen=True, slots=True)
class Release:
    """The tables of one year. Keys are codes without dots in tabular order: categories, subcategories and leaves."""

    year: int
    titles: Mapping[str, str]
    billable: frozenset[str]
    inclusion_terms: Mapping[str, tuple[str, ...]]
    """Other names that the tabular list has for a code itself; codes without any are absent."""

    def list_codes(self) -> list[Code]:
        """Return the billable codes in tabular order."""
        return [Code(value) for value in self.titles if value in self.billable]


@cache
def load_release() -> Release:
    """Return the FY2025 tables: 74,260 billable codes. They are read once per process."""
    from platformdirs import user_cache_path

    path = user_cache_path("deepicd") / CACHE_NAME
    with suppress(OSError, DeepicdError, KeyError, TypeError, AttributeError):  # absent or damaged: write it again
        return _read_cache(path)
    release = _read_xml()
    with suppress(OSError):  # without a writable home, every process parses the XML
        storage.write_json(path, asdict(release) | {"billable": sorted(release.billable)})
    return release


def _read_cache(path: Path) -> Release:
    fields = storage.read_json(path)
    return Release(
        year=fields["year"],
        titles=fields["titles"],
        billable=frozenset(fields["billable"]),
        inclusion_terms={value: tuple(terms) for value, terms in fields["inclusion_terms"].items()},
    )


def _read_xml() -> Release:
    import simple_icd_10_cm as tabular

    # the list also has chapters ('1') and blocks ('A00-A09'); a few blocks of one category share its name
    values = [value for value in tabular.get_all_codes(False) if SHAPE.fullmatch(value)]
    return Release(
        year=2025,
        # a few hundred titles in the XML contain tabs
        titles={value: " ".join(tabular.get_description(value).split()) for value in values},
        billable=frozenset(value for value in values if tabular.is_leaf(value)),
        inclusion_terms={value: tuple(terms) for value in values if (terms := tabular.get_inclusion_term(value))},
    )
