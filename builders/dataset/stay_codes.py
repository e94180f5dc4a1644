"""The codes of each stay for the config multi: those that its admission note supports, and the others.

    for codes in read_stay_codes(Path("out/cohort"), "train"):
        codes.listed(note)      # ListedCodes(codes=(I21.4, I10), not_supported=(N17.9,), support=(…))

All codes of a stay are known at discharge and stand in the sealed outcome; here they become what a model is to answer,
as the first diagnosis is elsewhere, and no part of a prompt. A model can only answer what the note lets it know, so the
target has the first diagnosis and, of the others, those with support (builders.dataset.code_support).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builders.dataset.code_support import Support, find_support
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.outcome import read_codes


@dataclass(frozen=True, slots=True)
class ListedCodes:
    """What a row of the config multi says of its stay's codes."""

    codes: tuple[Code, ...]
    """The first diagnosis, then the others that the note supports, in billing order."""
    not_supported: tuple[Code, ...]
    support: tuple[Support, ...]
    """Of `codes`; the first may have none."""


@dataclass(frozen=True, slots=True)
class StayCodes:
    note_id: str
    codes: tuple[Code, ...]
    """In billing order."""

    def list_supported(self, note: str) -> ListedCodes:
        """Return the codes divided by whether an admission note supports them."""
        support = find_support(note, self.codes)
        known = {found.code for found in support} | {self.codes[0]}
        return ListedCodes(
            codes=tuple(code for code in self.codes if code in known),
            not_supported=tuple(code for code in self.codes if code not in known),
            support=tuple(support),
        )


def read_stay_codes(cohort: Path, split: str) -> Iterator[StayCodes]:
    """Yield the codes of each stay in the cohort's order. Raises DeepicdError for a cohort without sealed outcomes."""
    for note_id, values in read_codes(cohort, split, reader="assemble"):
        yield StayCodes(note_id, tuple(dict.fromkeys(map(Code.parse, values))))


def require_codes(stay: StayCodes | None, note_id: str, first: str) -> StayCodes:
    """Return the codes of a row. Raises DeepicdError where they are another stay's, or begin with another code."""
    if stay is None or stay.note_id != note_id or not stay.codes or stay.codes[0].value != first:
        raise DeepicdError(
            "The outcomes of the cohort are of other rows than the cohort has.", "Build the cohort again: deepicd build"
        )
    return stay
