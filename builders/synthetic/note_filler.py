"""What makes a note long: background, usual care, daily results, reports, lists, advice. None of it tells the disease.

A note of `USUAL_LENGTH` has none of it. A longer one gets its surplus in the shares of `SHARES`, drawn without
repetition from knowledge/longer.yaml; what the pools cannot fill goes to daily laboratory results, of which a real long
note has pages.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from re import Pattern

from builders.synthetic.clinical_case import Case, common
from builders.synthetic.disease_knowledge import KNOWLEDGE, read_yaml
from builders.synthetic.phrases import Phrase

USUAL_LENGTH = 4000
"""Mean characters of a note without surplus."""
LONGEST = 60_000  # characters; MIMIC-IV-Note 2.2: 60,381
SPREAD = 0.5
"""Standard deviation of the logarithm of the surplus: some notes are several times as long as most."""

# Share of the surplus by where it goes. The first five are known at admission.
SHARES: Mapping[str, float] = {
    "background": 0.09,
    "emergency_detail": 0.03,
    "history": 0.02,
    "home_medicines": 0.04,
    "labs": 0.03,
    "prescriptions": 0.09,
    "studies": 0.16,
    "problems": 0.24,
    "events": 0.05,
    "transitional": 0.04,
    "advice": 0.1,
}
"""The rest, and what a pool cannot fill, is `later_labs`."""
PRESCRIPTION = 95  # characters of a prescription line, about
BETWEEN = 3  # characters that part one piece from the next: bullets, blank lines
SENTENCES_OF_A_PROBLEM = (3, 5)

Panel = tuple[tuple[str, float, float, int], ...]

# Name, lowest, highest usual value, decimals: general adult reference ranges, a little widened.
PANELS: tuple[Panel, ...] = (
    (
        ("WBC", 4.2, 11.8, 1), ("RBC", 3.4, 4.9, 2), ("Hgb", 9.2, 14.2, 1), ("Hct", 28.4, 42.6, 1), ("MCV", 84, 97, 0),
        ("MCH", 27.2, 32.4, 1), ("MCHC", 31.4, 35.2, 1), ("RDW", 12.4, 15.8, 1), ("Plt Ct", 146, 368, 0),
    ),
    (
        ("Glucose", 84, 162, 0), ("UreaN", 8, 29, 0), ("Creat", 0.6, 1.3, 1), ("Na", 134, 143, 0), ("K", 3.5, 4.9, 1),
        ("Cl", 97, 107, 0), ("HCO3", 21, 29, 0), ("AnGap", 9, 16, 0),
    ),
    (("Calcium", 8.3, 9.7, 1), ("Phos", 2.5, 4.4, 1), ("Mg", 1.6, 2.3, 1)),
    (("PTT", 26.2, 36.4, 1),),
    (
        ("ALT", 11, 42, 0), ("AST", 13, 44, 0), ("LD(LDH)", 142, 248, 0), ("AlkPhos", 46, 118, 0),
        ("TotBili", 0.3, 1.1, 1),
    ),
    (
        ("Neuts", 54.2, 78.6, 1), ("Lymphs", 11.2, 32.8, 1), ("Monos", 4.2, 10.4, 1), ("Eos", 0.3, 3.8, 1),
        ("Baso", 0.1, 0.9, 1),
    ),
    (("Albumin", 3.1, 4.4, 1),),
    (("Lactate", 0.8, 1.9, 1),),
)  # fmt: skip
TOLD_BY_LAB = {"Kidney function": "Creat", "Glucose": "Glucose", "Blood counts": "Hgb", "Electrolytes": "K"}
TOLD_BY_VITAL = {"Oxygen": "spo2", "Low grade fever": "t", "Blood pressure": "sbp"}
"""Problems left out where the disease has a value of its own for what they are about."""
DAILY = (0, 0, 1, 1, 2, 2, 0, 1, 3, 4, 5, 6, 7)
"""Panels as they come up again and again: blood count and chemistry most often."""


@dataclass(slots=True)
class Surplus:
    """Texts by where they go; all empty in a note of usual length."""

    background: list[str] = field(default_factory=list)
    emergency_detail: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    home_medicines: list[str] = field(default_factory=list)
    labs: list[str] = field(default_factory=list)
    prescriptions: int = 0
    """How many discharge medications are followed by their prescription."""
    studies: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    """(heading, what was done)"""
    events: list[str] = field(default_factory=list)
    transitional: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    later_labs: list[str] = field(default_factory=list)


def surplus(case: Case, length: int) -> Surplus:
    """What this note has beyond the usual, so that notes have `length` characters on average."""
    found = Surplus()
    if length <= USUAL_LENGTH:
        return found
    size = min((length - USUAL_LENGTH) * case.rng.lognormvariate(-(SPREAD**2) / 2, SPREAD), LONGEST - USUAL_LENGTH)
    pools, quiet = longer(), _quiet(case.condition.telling)
    budget = {name: share * size for name, share in SHARES.items()}
    if case.newborn:
        found.events = _drawn(case, pools.newborn, size)
        return found
    for name in ("background", "emergency_detail", "history", "home_medicines"):
        if not (name == "emergency_detail" and case.condition.planned):
            setattr(found, name, _drawn(case, quiet[name], budget[name]))
    found.labs = _more_labs(case, budget["labs"])
    found.prescriptions = round(budget["prescriptions"] / PRESCRIPTION)
    found.studies = _drawn(case, _other_studies(case.condition.findings), budget["studies"])
    for name in ("events", "transitional", "advice"):
        setattr(found, name, _drawn(case, pools.lines[name], budget[name]))
    found.problems = _problems(case, budget["problems"])
    pieces = [*found.background, *found.emergency_detail, *found.history, *found.labs, *found.studies, *found.events]
    pieces += [*found.transitional, *found.advice, *(text + heading for heading, text in found.problems)]
    pieces += 2 * found.home_medicines  # continued at discharge
    spent = sum(map(len, pieces)) + BETWEEN * len(pieces) + found.prescriptions * PRESCRIPTION
    found.later_labs = _results(case, size - spent)
    return found


@dataclass(frozen=True, slots=True)
class Longer:
    """longer.yaml."""

    lines: Mapping[str, tuple[Phrase, ...]]
    problems: tuple[tuple[str, tuple[Phrase, ...]], ...]
    """(heading, sentences)"""
    newborn: tuple[Phrase, ...]


@cache
def longer() -> Longer:
    content = read_yaml(KNOWLEDGE / "longer.yaml")
    lines = {
        name: tuple(Phrase.parse(line.replace("\\n", "\n")) for line in text.splitlines())
        for name, text in content.items()
        if name != "problems"
    }
    problems = [line.split(" | ") for line in content["problems"].splitlines()]
    return Longer(
        lines, tuple((heading, tuple(map(Phrase.parse, told))) for heading, *told in problems), lines["newborn"]
    )


@lru_cache(maxsize=4096)
def _quiet(telling: Pattern[str]) -> Mapping[str, tuple[Phrase, ...]]:
    """The pools of what is known at admission, without what would name the disease."""
    return {
        name: tuple(phrase for phrase in longer().lines[name] if not telling.search(phrase.source))
        for name in ("background", "emergency_detail", "history", "home_medicines")
    }


@lru_cache(maxsize=4096)
def _other_studies(findings: tuple[Phrase, ...]) -> tuple[Phrase, ...]:
    """Reports of studies that the disease's own findings do not speak of."""
    spoken = " ".join(phrase.source for phrase in findings).replace("CXR", "CHEST")
    return tuple(study for study in longer().lines["studies"] if study.source.split()[0] not in spoken)


def _order(case: Case, n: int) -> Iterator[int]:
    """0 … n - 1, mixed well enough and much faster than by a shuffle."""
    start, step = int(case.rng.random() * n), (5, 7, 11, 13, 17, 19, 23, 29)[int(case.rng.random() * 8)]
    step = step if n % step else 1
    return ((start + place * step) % n for place in range(n))


def _fits(case: Case, text_length: int, left: float) -> bool:
    """Whether one more fits; the last one by chance, so that the mean comes out right."""
    return text_length <= left or case.rng.random() * text_length < left


def _drawn(case: Case, pool: Sequence[Phrase], budget: float) -> list[str]:
    """Phrases of the pool, none twice, of about so many characters together."""
    said: list[str] = []
    for place in _order(case, len(pool)) if pool else ():
        if budget <= 0:
            break
        text = case.say(pool[place])
        if _fits(case, len(text), budget):
            said.append(text)
        budget -= len(text) + BETWEEN
    return said


def _problems(case: Case, budget: float) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    pool = longer().problems
    for place in _order(case, len(pool)):
        if budget <= 0:
            break
        heading, sentences = pool[place]
        if TOLD_BY_LAB.get(heading) in case.condition.labs or TOLD_BY_VITAL.get(heading) in case.condition.vitals:
            continue
        wanted = case.rng.randint(*SENTENCES_OF_A_PROBLEM)
        text = " ".join([case.say(sentence) for sentence in sentences if case.rng.random() * len(sentences) < wanted])
        if text and _fits(case, len(text), budget):
            told.append((heading, text))
        budget -= len(heading) + len(text) + BETWEEN
    return told


def _more_labs(case: Case, budget: float) -> list[str]:
    """Panels that the results of admission do not hold yet, each once."""
    random, own = case.rng.random, {*common().labs, *case.condition.labs}
    lines: list[str] = []
    for panel in PANELS:
        if budget > 0 and not any(name in own for name, *_ in panel):
            lines.append(_line(random, panel))
            budget -= len(lines[-1])
    return lines


def _line(random: Callable[[], float], panel: Panel) -> str:
    """'___ 06:15AM BLOOD Glucose-104 UreaN-14 …'"""
    values = [f"{name}-{low + random() * (high - low):.{decimals}f}" for name, low, high, decimals in panel]
    time = f"{4 + int(random() * 8):02d}:{5 * int(random() * 12):02d}{'AM' if random() < 0.8 else 'PM'}"
    return f"___ {time} BLOOD {' '.join(values)}"


def _results(case: Case, budget: float) -> list[str]:
    """Lines of results of the days that follow."""
    lines: list[str] = []
    random = case.rng.random
    while budget > 0:
        line = _line(random, PANELS[DAILY[int(random() * len(DAILY))]])
        if _fits(case, len(line), budget):
            lines.append(line)
        budget -= len(line) + 1
    return lines
