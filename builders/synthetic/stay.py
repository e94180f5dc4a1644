"""One stay as the note writer sees it, whether made up here or read from an existing hosp copy."""

from dataclasses import dataclass
from typing import NamedTuple


class Diagnosis(NamedTuple):
    code: str
    """Without a dot."""
    version: int
    """9 or 10."""


@dataclass(frozen=True, slots=True)
class Stay:
    subject_id: int
    hadm_id: int
    sex: str
    """F or M"""
    age: int
    """Years at admission."""
    admitted: str
    """'2150-03-01 14:05:00', as in the tables."""
    discharged: str
    days: int
    """Whole days between the two; odd copies have negative ones."""
    destination: str
    """discharge_location, '' where unknown, 'DIED' for a death in hospital."""
    diagnoses: tuple[Diagnosis, ...]
    """In billing order."""

    @property
    def first(self) -> Diagnosis:
        return self.diagnoses[0]

    @property
    def died(self) -> bool:
        return self.destination == "DIED"
