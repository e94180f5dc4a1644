"""Draw rows of patients and admissions: ids in MIMIC's form, shifted dates, categories as MIMIC writes them."""

import random
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

from builders.synthetic.clinical_case import Stay
from builders.synthetic.diagnosis_sampling import DrawnStay
from builders.synthetic.generator_knowledge import Diagnosis
from builders.synthetic.mimic_csv import COLUMNS, Row

FIRST_SUBJECT, FIRST_STAY, FIRST_ICU_STAY, IDS = 10_000_000, 20_000_000, 30_000_000, 10_000_000
MOST_ADMISSIONS = 4_000_000
"""Beyond this the eight-digit ids would run out."""

WITHOUT_STAY = 0.39
"""Share of patients seen in the emergency department only (3.1: 364,627 patients, 223,452 with a stay)."""
DUPLICATED = 0.001
"""Share of admissions with two rows. hadm_id is unique in MIMIC-IV 3.1, but not in a copy that was loaded twice."""
DEATH = 0.022
"""Share of stays that end in death, always a patient's last stay; patients with more stays are more likely to die."""
DEATH_AFTER_STAY = 0.08
"""Share of patients with a known death within a year after the last stay."""
ORGAN_DONOR = 0.05
"""Share of stays ending in death that are an organ donor's: opened after the death, they end before they begin."""
ICU_SHARE, ICU_SHARE_OF_DEATHS = 0.14, 0.6
"""Share of stays with an ICU stay (3.1: 94,458 ICU stays in some 85,000 of 546,028 admissions)."""
BACK_TO_ICU = 0.08
"""Share of those that return to it."""
BY_EMERGENCY = 0.72
"""Share of unplanned stays that begin in the emergency department."""
OLDEST_SHOWN, OLDEST_WRITTEN = 89, 91  # ages above 89 are all given as 91
FIRST_YEAR, LAST_ANCHOR = 2110, 2195


class WeightedChoice:
    """Draw values by weight."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.values, self.cumulative = tuple(weights), tuple(accumulate(weights.values()))

    def pick(self, rng: random.Random) -> str:
        return self.values[bisect(self.cumulative, rng.random() * self.cumulative[-1])]


# Weights roughly follow the published aggregate counts of MIMIC-IV 3.1. '' is a missing value.
EMERGENCY_TYPES = WeightedChoice({
    "EW EMER.": 60, "EU OBSERVATION": 14, "OBSERVATION ADMIT": 18, "DIRECT EMER.": 5, "URGENT": 6,
})  # fmt: skip
PLANNED_TYPES = WeightedChoice({
    "SURGICAL SAME DAY ADMISSION": 40, "URGENT": 22, "ELECTIVE": 14, "OBSERVATION ADMIT": 14, "DIRECT EMER.": 10,
    "DIRECT OBSERVATION": 12, "AMBULATORY OBSERVATION": 5,
})  # fmt: skip
EMERGENCY_PLACES = WeightedChoice({
    "EMERGENCY ROOM": 80, "WALK-IN/SELF REFERRAL": 8, "TRANSFER FROM HOSPITAL": 5, "CLINIC REFERRAL": 3,
})  # fmt: skip
PLANNED_PLACES = WeightedChoice({
    "PHYSICIAN REFERRAL": 62, "TRANSFER FROM HOSPITAL": 20, "CLINIC REFERRAL": 6, "PROCEDURE SITE": 5, "PACU": 3,
    "TRANSFER FROM SKILLED NURSING FACILITY": 3, "INTERNAL TRANSFER TO OR FROM PSYCH": 1,
    "INFORMATION NOT AVAILABLE": 1, "AMBULATORY SURGERY TRANSFER": 0.3,
})  # fmt: skip
DESTINATIONS = WeightedChoice({
    "HOME": 38, "HOME HEALTH CARE": 20, "": 22, "SKILLED NURSING FACILITY": 11, "REHAB": 3,
    "CHRONIC/LONG TERM ACUTE CARE": 1.7, "HOSPICE": 0.9, "AGAINST ADVICE": 0.7, "PSYCH FACILITY": 0.8,
    "ACUTE HOSPITAL": 0.4, "OTHER FACILITY": 0.4, "ASSISTED LIVING": 0.1,
})  # fmt: skip
INSURANCE = WeightedChoice({"Medicare": 45, "Private": 32, "Medicaid": 19, "Other": 2.5, "": 1.7, "No charge": 0.1})
LANGUAGES = WeightedChoice({
    "English": 90, "Spanish": 3, "Russian": 1.8, "Chinese": 1.6, "Kabuverdianu": 0.9, "Portuguese": 0.7, "Haitian": 0.6,
    "Other": 0.6, "Vietnamese": 0.3, "Italian": 0.2, "American Sign Language": 0.1, "": 0.2,
})  # fmt: skip
MARITAL_STATUSES = WeightedChoice({"MARRIED": 43, "SINGLE": 37, "WIDOWED": 10, "DIVORCED": 7.5, "": 2.5})
RACES = WeightedChoice({
    "WHITE": 62, "BLACK/AFRICAN AMERICAN": 14, "OTHER": 3.5, "WHITE - OTHER EUROPEAN": 3, "UNKNOWN": 3,
    "HISPANIC/LATINO - PUERTO RICAN": 2, "HISPANIC OR LATINO": 2, "ASIAN": 1.9, "ASIAN - CHINESE": 1.8,
    "WHITE - RUSSIAN": 1.6, "BLACK/CAPE VERDEAN": 1.5, "HISPANIC/LATINO - DOMINICAN": 1.3, "PORTUGUESE": 0.5,
    "PATIENT DECLINED TO ANSWER": 0.4, "UNABLE TO OBTAIN": 0.4, "AMERICAN INDIAN/ALASKA NATIVE": 0.2,
})  # fmt: skip
CARE_UNITS = WeightedChoice({
    "Medical Intensive Care Unit (MICU)": 22, "Cardiac Vascular Intensive Care Unit (CVICU)": 16,
    "Medical/Surgical Intensive Care Unit (MICU/SICU)": 18, "Surgical Intensive Care Unit (SICU)": 14,
    "Trauma SICU (TSICU)": 12, "Coronary Care Unit (CCU)": 12, "Neuro Intermediate": 8,
    "Neuro Surgical Intensive Care Unit (Neuro SICU)": 3,
})  # fmt: skip
YEAR_GROUPS: Mapping[int, Sequence[str]] = {
    9: ("2008 - 2010", "2011 - 2013", "2014 - 2016"),
    10: ("2014 - 2016", "2017 - 2019", "2020 - 2022"),
}
"""By the ICD version of the first stay."""


@dataclass(frozen=True, slots=True)
class PatientRecords:
    """A patient and their stays, as rows and as the note writer sees them."""

    patient: Row
    admissions: list[Row]
    stays: list[Stay]


def make_stay_id(number: int, seed: int) -> int:
    """Return the hadm_id of a stay by its number: unique, in no visible order.

    >>> len({make_stay_id(number, 42) for number in range(1000)})
    1000
    """
    # 7,368,787 is prime and does not divide 10^7, so multiplying by it permutes the residues
    return FIRST_STAY + (number * 7_368_787 + seed * 104_729) % IDS


def build_records(
    rng: random.Random,
    subject_id: int,
    stay_ids: Sequence[int],
    drawn: Sequence[DrawnStay],
    diagnoses: Sequence[tuple[Diagnosis, ...]],
) -> PatientRecords:
    """Build a patient's row, stays and admission rows, in order of time. Stays never overlap."""
    first = drawn[0]
    year = rng.randint(FIRST_YEAR, LAST_ANCHOR)
    admitted = datetime(year, 1, 1) + timedelta(days=rng.randrange(360), minutes=rng.randrange(1440))
    will_die = first.age > 0 and rng.random() < DEATH * len(drawn)
    demographics = [weights.pick(rng) for weights in (INSURANCE, LANGUAGES, MARITAL_STATUSES, RACES)]
    rows: list[Row] = []
    stays: list[Stay] = []
    discharged = admitted
    for number, (stay_id, stay, codes) in enumerate(zip(stay_ids, drawn, diagnoses, strict=True)):
        if number:
            admitted = discharged + timedelta(days=1 + int(rng.expovariate(1 / 150)), minutes=rng.randrange(1440))
        hours = max(6.0, rng.lognormvariate(4.25, 0.85))  # median 70 hours
        discharged = admitted.replace(minute=0) + timedelta(hours=int(hours), minutes=rng.randrange(60))
        has_died = will_die and number == len(drawn) - 1
        is_donor = has_died and rng.random() < ORGAN_DONOR
        if is_donor:
            discharged = admitted - timedelta(minutes=rng.randint(20, 1200))
        destination = "DIED" if has_died else DESTINATIONS.pick(rng)
        stays.append(
            Stay(
                subject_id=subject_id,
                hadm_id=stay_id,
                sex=stay.sex,
                age=first.age + admitted.year - year,
                admitted=str(admitted),
                discharged=str(discharged),
                days=(discharged.date() - admitted.date()).days,
                destination=destination,
                diagnoses=codes,
            )
        )
        rows.append(_build_admission(rng, stays[-1], admitted, stay.is_planned or is_donor, demographics))
    dod = ""
    if will_die:
        dod = f"{discharged:%Y-%m-%d}"
    elif first.age > 0 and rng.random() < DEATH_AFTER_STAY:
        dod = f"{discharged + timedelta(days=rng.randint(1, 365)):%Y-%m-%d}"
    age = first.age if first.age <= OLDEST_SHOWN else OLDEST_WRITTEN
    group = rng.choice(YEAR_GROUPS[first.first.version])
    return PatientRecords((subject_id, first.sex, age, year, group, dod), rows, stays)


def build_patient_without_stay(rng: random.Random, subject_id: int) -> Row:
    year, group = rng.randint(FIRST_YEAR, LAST_ANCHOR), rng.choice((*YEAR_GROUPS[9], *YEAR_GROUPS[10]))
    return (subject_id, rng.choice("FM"), rng.randint(18, OLDEST_SHOWN), year, group, "")


def duplicate_admission(rng: random.Random, admission: Row) -> Row:
    """Return a second row for an admission, entered by another provider."""
    place = COLUMNS["hosp/admissions"].index("admit_provider_id")
    return (*admission[:place], _draw_provider(rng), *admission[place + 1 :])


def build_icu_stays(seed: int, stay: Stay) -> list[Row]:
    """Return the rows of icu/icustays of a stay: none for most. Drawn apart, so that no other table depends on it."""
    rng = random.Random(f"{seed}/icu/{stay.hadm_id}")
    begin, end = datetime.fromisoformat(stay.admitted), datetime.fromisoformat(stay.discharged)
    if stay.days < 1 or rng.random() >= (ICU_SHARE_OF_DEATHS if stay.has_died else ICU_SHARE):
        return []
    parts = 2 if stay.days >= 4 and rng.random() < BACK_TO_ICU else 1
    length, rows = (end - begin) / (2 * parts), list[Row]()
    for part in range(parts):
        entered = begin + 2 * part * length + rng.uniform(0, 0.2) * length
        left = entered + rng.uniform(0.2, 0.8) * length
        first = CARE_UNITS.pick(rng)
        last = first if rng.random() < 0.85 else CARE_UNITS.pick(rng)
        stay_id = FIRST_ICU_STAY + part * IDS + stay.hadm_id - FIRST_STAY
        days = (left - entered) / timedelta(days=1)
        times = (f"{entered:%Y-%m-%d %H:%M:%S}", f"{left:%Y-%m-%d %H:%M:%S}")
        rows.append((stay.subject_id, stay.hadm_id, stay_id, first, last, *times, f"{days:.6f}"))
    return rows


def _draw_provider(rng: random.Random) -> str:
    return f"P{rng.randrange(100):02d}{''.join(rng.choices('ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789', k=3))}"


def _build_admission(
    rng: random.Random, stay: Stay, admitted: datetime, is_planned: bool, demographics: Sequence[str]
) -> Row:
    is_emergency = stay.age > 0 and not is_planned and rng.random() < BY_EMERGENCY
    registered = left = ""
    if is_emergency:
        arrival = admitted - timedelta(minutes=rng.randint(60, 900))
        registered, left = str(arrival), str(admitted + timedelta(minutes=rng.randint(5, 180)))
    return (
        stay.subject_id,
        stay.hadm_id,
        stay.admitted,
        stay.discharged,
        stay.discharged if stay.has_died else "",
        (EMERGENCY_TYPES if is_emergency else PLANNED_TYPES).pick(rng),
        _draw_provider(rng),
        (EMERGENCY_PLACES if is_emergency else PLANNED_PLACES).pick(rng),
        stay.destination,
        *demographics,
        registered,
        left,
        int(stay.has_died),
    )
