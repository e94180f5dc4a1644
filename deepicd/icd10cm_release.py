"""The tables of the FY2025 release of ICD-10-CM: titles, which codes are billable, other names for them.

Source: the tabular XML of April 2025 that `simple-icd-10-cm` 1.4.0 carries. It takes that library some two seconds to
read, more than most commands need for all else; so what we need of it is kept in the user's cache folder (Linux:
~/.cache/deepicd) and read from there in a tenth of the time. The file may be removed at any moment.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from deepicd.icd10cm import SHAPE, Code

CACHED_AS = "icd10cm-fy2025-1.4.0-1.json"
"""Named for the library's version, which pyproject.toml pins, and for the form of this file: another form, another
number."""


@dataclass(frozen=True, slots=True)
class Release:
    """A year's tables. Keys are codes without dots in tabular order: categories, subcategories, leaves; no blocks."""

    year: int
    titles: Mapping[str, str]
    billable: frozenset[str]
    inclusion_terms: Mapping[str, tuple[str, ...]]
    """Other names that the tabular list gives for a code itself; codes without any are left out."""

    def codes(self) -> list[Code]:
        """The billable codes in tabular order."""
        return [Code(value) for value in self.titles if value in self.billable]


@cache
def load_release() -> Release:
    """The FY2025 tables: 74,260 billable codes. Read once a process."""
    file = _cache_file()
    with suppress(OSError, ValueError, KeyError, TypeError):  # not there yet, or damaged: then it is made anew
        return _cached(file)
    tables = _from_xml()
    with suppress(OSError):  # a home that cannot be written to costs two seconds each time, no more
        _write(file, tables)
    return tables


def _cache_file() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("deepicd") / CACHED_AS


def _cached(file: Path) -> Release:
    found = json.loads(file.read_text(encoding="utf-8"))
    return Release(
        year=found["year"],
        titles=found["titles"],
        billable=frozenset(found["billable"]),
        inclusion_terms={value: tuple(terms) for value, terms in found["inclusion_terms"].items()},
    )


def _write(file: Path, tables: Release) -> None:
    from deepicd import storage

    storage.write_json(file, asdict(tables) | {"billable": sorted(tables.billable)})


def _from_xml() -> Release:
    import simple_icd_10_cm as tabular

    # the listing also holds chapters ('1') and blocks ('A00-A09'); a few blocks of one category bear its very name
    values = [value for value in tabular.get_all_codes(False) if SHAPE.fullmatch(value)]
    return Release(
        year=2025,
        # a few hundred titles of the XML have tabs in them
        titles={value: " ".join(tabular.get_description(value).split()) for value in values},
        billable=frozenset(value for value in values if tabular.is_leaf(value)),
        inclusion_terms={value: tuple(terms) for value in values if (terms := tabular.get_inclusion_term(value))},
    )
