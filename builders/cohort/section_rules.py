"""Decide which section an ambiguous header opens, by its place in the note: an ordered table of rules with examples.

De-identification turned "Discharge Exam" into "___ Exam"; "Primary diagnosis" may open the final diagnosis or a line of
the present illness; "Home medications" may be the list made at admission or a paragraph of the hospital course. The
first rule whose condition holds for a header decides; without one the header opens the section that its words name.
The last ambiguous header of each example is the one that its rule decides: tests/builders/cohort/test_section_rules.py
runs every row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from builders.cohort.exam_parts import ADMISSION_WORDS, DISCHARGE_WORDS, contains_any
from builders.cohort.headers import ORDER
from builders.cohort.later_events import counts_days

COURSE, MEDICATIONS, EXAM, DISCHARGE_EXAM, RESULTS, FOLLOWUP = (
    "Brief Hospital Course", "Medications on Admission", "Physical Exam", "Discharge Exam", "Pertinent Results",
    "Followup Instructions",
)  # fmt: skip
# Once one of these has begun, the note is about the stay; but a code status or a diet may stand on top of it.
ABOUT_THE_STAY = frozenset({COURSE, "Active Issues", "Transitional Issues", "Discharge", FOLLOWUP})
# Narratives, whose paragraphs may begin like headers.
HISTORIES = frozenset(
    {"History of Present Illness", "Review of Systems", "Past Medical History", "Past Surgical History"}
)
NARRATIVES = HISTORIES | {"Chief Complaint"}
AMBIGUOUS = frozenset({EXAM, "Pertinent Results", "Diagnosis", "Redacted", "Social History", MEDICATIONS})
LONGEST_VITALS = 200  # characters between two exam headers; if they are further apart, the second opens another exam
LIST_AT_ADMISSION = "The Preadmission Medication list"  # how the medication list made at admission begins
OPENINGS = HISTORIES | {"Chief Complaint", "Allergies"}
_TAKEN_BEFORE = ("admi", "home", "prior", "before", "outpatient", "pre", "___", "chronic", "usual", "baseline", "hosp",
                 "regular", "ambulatory", "maintenance", "pta", "long", "arriv", "entry", "intake")  # fmt: skip


@dataclass(slots=True)  # a frozen one takes three times as long to create
class Place:
    """An ambiguous header where it stands in a note."""

    note: str
    name: str
    """The section that its words name."""
    words: str
    """The header itself, casefolded."""
    start: int
    """Where the header starts."""
    begin: int
    """Where its text begins."""
    under: str
    """The section it stands under."""
    seen: Mapping[str, int]
    """Section → where its text begins, for the sections before it."""
    find_latest: Callable[[], int]
    """Returns the last place in the template, up to the hospital course, of the headers after it; -1 for none."""
    is_strong: bool
    """Whether it is set off from the text above in the way of this note's headers."""

    @property
    def starts_block(self) -> bool:
        """Whether it follows a line of one space, as the template's sections do."""
        return follows_separator(self.note, self.start)

    @property
    def is_in_history(self) -> bool:
        """Whether it stands within a history."""
        return self.under in HISTORIES and not self.starts_block

    @property
    def is_followed_by_text(self) -> bool:
        """Whether text stands on the header's own line."""
        return bool(self.note[self.begin : self.note.find("\n", self.begin)].strip())

    @property
    def has_capital(self) -> bool:
        return self.note[self.start : self.begin].lstrip()[:1].isupper()

    @property
    def counts_days(self) -> bool:
        """Whether its first line of text counts the days of the stay."""
        return counts_days(get_first_line(self.note, self.begin))

    @property
    def follows_empty_line(self) -> bool:
        return follows_empty_line(self.note, self.start)

    @property
    def is_emphatic(self) -> bool:
        """Whether it is set off in capitals, or by naming the admission in a note without the template's separators."""
        if not self.is_strong or self.starts_block:
            return False
        return self.note[self.start : self.begin].isupper() or (self.names_admission and "\n \n" not in self.note)

    @property
    def is_about_leaving(self) -> bool:
        return contains_any(self.words, DISCHARGE_WORDS)

    @property
    def names_admission(self) -> bool:
        return "admission" in self.words

    @property
    def is_redacted(self) -> bool:
        return "___" in self.words

    @property
    def is_about_the_stay(self) -> bool:
        """Whether a section about the stay has begun."""
        return not self.seen.keys().isdisjoint(ABOUT_THE_STAY)

    @property
    def follows_discharge_lists(self) -> bool:
        """Whether it stands among the discharge sections, and is not the admission list that some notes end with."""
        is_at_the_end = FOLLOWUP in self.seen and "Addendum" not in self.seen and self.name not in self.seen
        return "Discharge" in self.seen and not is_at_the_end

    @property
    def history_continues(self) -> bool:
        """Whether, within a history, sections known at admission are still to come."""
        return self.is_in_history and ORDER[self.under] < self.find_latest()

    @property
    def is_bare_list(self) -> bool:
        """Whether it names medications without saying when they were taken."""
        return not contains_any(self.words, _TAKEN_BEFORE)

    @property
    def follows_history(self) -> bool:
        return not self.seen.keys().isdisjoint(OPENINGS)


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table."""

    sections: tuple[str, ...]
    """Sections as the header's words name them, to which the rule applies."""
    condition: Callable[[Place], bool]
    opens: str | None
    """The section that the header opens; None if it is only a line of the section it stands under."""
    example: str


_RESULTS, _DIAGNOSIS, _REDACTED, _SOCIAL = ("Pertinent Results",), ("Diagnosis",), ("Redacted",), ("Social History",)
_EXAM, _MEDICATIONS = (EXAM,), (MEDICATIONS,)

RULES: tuple[Rule, ...] = (
    # Results
    Rule(
        _RESULTS,
        lambda place: place.is_in_history and not (place.is_strong or place.is_about_leaving or place.counts_days),
        None,  # results from the emergency room
        "HPI:\nShe fell.\nBlood cultures: drawn\nNow she is weak.\n",
    ),
    # Headers that name the discharge
    Rule(_EXAM, lambda place: place.is_about_leaving, DISCHARGE_EXAM, "Physical Exam (discharge):\nHR 70\n"),
    Rule(
        (MEDICATIONS, "Social History"),
        lambda place: place.is_about_leaving,
        "Discharge",
        "Home medications (at discharge):\n1. Aspirin\n",
    ),
    # Exams
    Rule(
        _EXAM,
        lambda place: place.is_in_history and not place.is_strong and " " not in place.words,
        None,  # that of the emergency room
        "HPI:\nShe fell.\nExam: pale\nNow she is weak.\n",
    ),
    Rule(
        _EXAM,
        lambda place: place.words == "pe" and place.is_followed_by_text and not place.starts_block,
        None,  # pulmonary embolism
        "Physical Exam:\nHR 110\nPE: on warfarin\n",
    ),
    Rule(
        _EXAM,
        lambda place: contains_any(place.words, ADMISSION_WORDS),
        EXAM,
        "Discharge Exam:\nHR 70\n \nAdmission Exam:\nHR 110\n",
    ),
    Rule(_EXAM, lambda place: DISCHARGE_EXAM in place.seen, DISCHARGE_EXAM, "Discharge Exam:\nHR 70\n \nPE:\nAlert.\n"),
    Rule(
        _EXAM,
        lambda place: place.is_redacted and place.seen.get(EXAM, place.start) < place.start,
        DISCHARGE_EXAM,
        "Physical Exam:\nHR 110\n \n___ Exam:\nHR 70\n",
    ),
    Rule(
        _EXAM,
        lambda place: place.start - place.seen.get(EXAM, place.start) > LONGEST_VITALS,
        DISCHARGE_EXAM,
        "Physical Exam:\n" + "No focal findings.\n" * 12 + " \nPhysical Exam:\nHR 70\n",
    ),
    # Medication lists
    Rule(
        _MEDICATIONS,
        lambda place: place.is_in_history and place.is_bare_list and not place.is_strong,
        None,  # given by the ambulance
        "HPI:\nShe fell.\nMedicines: 1 l of saline\nNow she is weak.\n",
    ),
    Rule(
        _MEDICATIONS,
        lambda place: place.is_bare_list and ("Diagnosis" in place.seen and not place.follows_history),
        "Discharge",  # it stands among the lists made at discharge
        "Discharge Diagnosis:\nGout\n\nMedications:\n1. Aspirin\n",
    ),
    Rule(
        _MEDICATIONS,
        lambda place: (
            place.is_bare_list and place.is_about_the_stay and (place.is_emphatic or not place.is_followed_by_text)
        ),
        "Discharge",
        "Hospital Course:\nStented.\n\nCurrent Medications:\n1. Aspirin\n",
    ),
    Rule(
        (MEDICATIONS, "Redacted"),
        lambda place: place.is_about_the_stay and place.note.startswith(LIST_AT_ADMISSION, place.begin + 1),
        MEDICATIONS,
        "Hospital Course:\nStented.\n \n___ Medications:\nThe Preadmission Medication list is accurate.\n1. Aspirin\n",
    ),
    Rule(
        _MEDICATIONS,
        lambda place: (
            place.is_about_the_stay
            and place.is_followed_by_text
            and not (place.names_admission and place.starts_block)
            and not place.is_emphatic
        ),
        None,  # a paragraph of the hospital course
        "Hospital Course:\nStented.\n\nHome medications: held at first\n",
    ),
    Rule(
        _MEDICATIONS,
        lambda place: (
            place.is_about_the_stay
            and not (place.names_admission or place.is_redacted or place.follows_empty_line)
            and not place.is_emphatic
        ),
        None,
        "Hospital Course:\nStented.\nHome Medications:\nheld at first\n",
    ),
    Rule(
        _MEDICATIONS,
        lambda place: not place.names_admission and place.follows_discharge_lists,
        "Discharge",
        "Hospital Course:\nStented.\n \nDischarge Medications:\n1. Aspirin\n \nMedications on ___:\n1. Aspirin\n",
    ),
    Rule(
        _MEDICATIONS,
        lambda place: not place.names_admission and place.is_redacted and MEDICATIONS in place.seen,
        "Discharge",
        "Home Medications:\n1. Aspirin\n \nMedications on ___:\n1. Clopidogrel\n",
    ),
    # Redacted headers
    Rule(
        _REDACTED,
        lambda place: place.is_in_history and place.is_followed_by_text,
        None,  # a line with a date
        "HPI:\nOncologic history:\n___: lumpectomy\n",
    ),
    # Diagnoses
    Rule(
        _DIAGNOSIS,
        lambda place: place.history_continues and not (place.is_strong and place.has_capital),
        None,  # an old diagnosis
        "HPI:\nShe is weak.\nPrimary diagnosis: breast cancer\n \nPhysical Exam:\nHR 110\n",
    ),
    Rule(_DIAGNOSIS, lambda place: True, "Discharge", "HPI:\nShe fell.\nPrimary diagnosis: hip fracture\n"),
    # Histories
    Rule(
        _SOCIAL,
        lambda place: place.words == "___ history" and "Past Medical History" not in place.seen,
        "Past Medical History",
        "HPI:\nShe fell.\n \n___ History:\nGout\n",
    ),
)
_RULES_OF = {name: tuple(rule for rule in RULES if name in rule.sections) for name in AMBIGUOUS}


def find_rule(place: Place) -> Rule | None:
    """Return the rule that decides a header; None if it opens the section that its words name."""
    for rule in _RULES_OF[place.name]:
        if rule.condition(place):
            return rule
    return None


def follows_empty_line(note: str, line_break: int) -> bool:
    """Return whether the line that ends at a line break is blank or a rule."""
    return not note[note.rfind("\n", 0, line_break) + 1 : line_break].strip(" \t-=_*~")


def get_first_line(note: str, begin: int) -> str:
    """Return the text behind a header up to the end of its line, or the next line if it stands alone."""
    end = note.find("\n", begin)
    return note[begin:end] if note[begin:end].strip() else note[end + 1 : note.find("\n", end + 1)]


def follows_separator(note: str, line_break: int) -> bool:
    """Return whether the line that ends at a line break holds one space, as between the template's sections."""
    return note.endswith("\n ", 0, line_break)
