"""Draw the filler of long notes: background, usual care, daily results, reports, advice. It never names the disease.

A note of `USUAL_LENGTH` has none. A longer one divides its surplus by `SHARES`, drawn without repetition from
knowledge/longer.yaml; what the pools cannot fill goes to daily laboratory results, as in real long notes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from re import Pattern

from builders.synthetic.clinical_case import Case
from builders.synthetic.generator_knowledge import KNOWLEDGE, load_common_texts, read_yaml
from builders.synthetic.phrases import Phrase

USUAL_LENGTH = 4000
"""Mean characters of a note without filler."""
LONGEST = 60_000  # characters; MIMIC-IV-Note 2.2: 60,381
SPREAD = 0.5
"""Standard deviation of the logarithm of the filler's length: some notes are several times as long as most."""

# Part of the note → share of the filler. The first five are known at admission.
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
"""The rest, and what a pool cannot fill, goes to `later_labs`."""
PRESCRIPTION = 95  # characters of a prescription line, roughly
BETWEEN = 3  # characters between one piece and the next: bullets, blank lines
SENTENCES_OF_A_PROBLEM = (3, 5)

Panel = tuple[tuple[str, float, float, int], ...]

# Name, lowest and highest usual value, decimals: general adult reference ranges, slightly widened.
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
COVERED_BY_LAB = {"Kidney function": "Creat", "Glucose": "Glucose", "Blood counts": "Hgb", "Electrolytes": "K"}
COVERED_BY_VITAL = {"Oxygen": "spo2", "Low grade fever": "t", "Blood pressure": "sbp"}
"""Problems that are left out if the disease has its own value for the same measurement."""
DAILY = (0, 0, 1, 1, 2, 2, 0, 1, 3, 4, 5, 6, 7)
"""Indices of PANELS, repeated by frequency: blood count and chemistry recur most often."""


@dataclass(slots=True)
class Filler:
    """Texts by part of the note; empty in a note of usual length."""

    background: list[str] = field(default_factory=list)
    emergency_detail: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)
    home_medicines: list[str] = field(default_factory=list)
    labs: list[str] = field(default_factory=list)
    prescriptions: int = 0
    """Number of discharge medications followed by their prescription."""
    studies: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    """(heading, what was done)"""
    events: list[str] = field(default_factory=list)
    transitional: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    later_labs: list[str] = field(default_factory=list)


def draw_filler(case: Case, length: int) -> Filler:
    """Draw the filler of a note, so that notes have `length` characters on average."""
    filler = Filler()
    if length <= USUAL_LENGTH:
        return filler
    size = min((length - USUAL_LENGTH) * case.rng.lognormvariate(-(SPREAD**2) / 2, SPREAD), LONGEST - USUAL_LENGTH)
    pools, quiet = load_filler_pools(), _select_quiet(case.condition.revealing)
    budget = {name: share * size for name, share in SHARES.items()}
    if case.is_newborn:
        filler.events = _draw_phrases(case, pools.newborn, size)
        return filler
    for name in ("background", "emergency_detail", "history", "home_medicines"):
        if not (name == "emergency_detail" and case.condition.is_planned):
            setattr(filler, name, _draw_phrases(case, quiet[name], budget[name]))
    filler.labs = _draw_admission_labs(case, budget["labs"])
    filler.prescriptions = round(budget["prescriptions"] / PRESCRIPTION)
    filler.studies = _draw_phrases(case, _select_other_studies(case.condition.findings), budget["studies"])
    for name in ("events", "transitional", "advice"):
        setattr(filler, name, _draw_phrases(case, pools.lines[name], budget[name]))
    filler.problems = _draw_problems(case, budget["problems"])
    pieces = filler.background + filler.emergency_detail + filler.history + filler.labs + filler.studies
    pieces += filler.events + filler.transitional + filler.advice
    pieces += [text + heading for heading, text in filler.problems]
    pieces += 2 * filler.home_medicines  # continued at discharge
    spent = sum(map(len, pieces)) + BETWEEN * len(pieces) + filler.prescriptions * PRESCRIPTION
    filler.later_labs = _draw_later_labs(case, size - spent)
    return filler


@dataclass(frozen=True, slots=True)
class FillerPools:
    """longer.yaml."""

    lines: Mapping[str, tuple[Phrase, ...]]
    problems: tuple[tuple[str, tuple[Phrase, ...]], ...]
    """(heading, sentences)"""
    newborn: tuple[Phrase, ...]


@cache
def load_filler_pools() -> FillerPools:
    content = read_yaml(KNOWLEDGE / "longer.yaml")
    lines = {
        name: tuple(Phrase.parse(line.replace("\\n", "\n")) for line in text.splitlines())
        for name, text in content.items()
        if name != "problems"
    }
    problems = [line.split(" | ") for line in content["problems"].splitlines()]
    return FillerPools(
        lines,
        tuple((heading, tuple(map(Phrase.parse, sentences))) for heading, *sentences in problems),
        lines["newborn"],
    )


@lru_cache(maxsize=4096)
def _select_quiet(revealing: Pattern[str]) -> Mapping[str, tuple[Phrase, ...]]:
    """Return the pools for the admission sections, without phrases that would name the disease."""
    return {
        name: tuple(phrase for phrase in load_filler_pools().lines[name] if not revealing.search(phrase.source))
        for name in ("background", "emergency_detail", "history", "home_medicines")
    }


@lru_cache(maxsize=4096)
def _select_other_studies(findings: tuple[Phrase, ...]) -> tuple[Phrase, ...]:
    """Return reports of studies other than those in the disease's findings."""
    mentioned = " ".join(phrase.source for phrase in findings).replace("CXR", "CHEST")
    return tuple(study for study in load_filler_pools().lines["studies"] if study.source.split()[0] not in mentioned)


def _shuffle(case: Case, n: int) -> Iterator[int]:
    """Yield 0 … n - 1 in a mixed order; much faster than random.shuffle, and random enough here."""
    start, step = int(case.rng.random() * n), (5, 7, 11, 13, 17, 19, 23, 29)[int(case.rng.random() * 8)]
    step = step if n % step else 1
    return ((start + place * step) % n for place in range(n))


def _is_room_for(case: Case, text_length: int, left: float) -> bool:
    """Return whether another text fits. The last one is decided at random, so that the mean length is right."""
    return text_length <= left or case.rng.random() * text_length < left


def _draw_phrases(case: Case, pool: Sequence[Phrase], budget: float) -> list[str]:
    """Draw distinct phrases of the pool with about `budget` characters in total."""
    texts: list[str] = []
    for place in _shuffle(case, len(pool)) if pool else ():
        if budget <= 0:
            break
        text = case.say(pool[place])
        if _is_room_for(case, len(text), budget):
            texts.append(text)
        budget -= len(text) + BETWEEN
    return texts


def _draw_problems(case: Case, budget: float) -> list[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    pool = load_filler_pools().problems
    for place in _shuffle(case, len(pool)):
        if budget <= 0:
            break
        heading, sentences = pool[place]
        if COVERED_BY_LAB.get(heading) in case.condition.labs or COVERED_BY_VITAL.get(heading) in case.condition.vitals:
            continue
        count = case.rng.randint(*SENTENCES_OF_A_PROBLEM)
        text = " ".join([case.say(sentence) for sentence in sentences if case.rng.random() * len(sentences) < count])
        if text and _is_room_for(case, len(text), budget):
            problems.append((heading, text))
        budget -= len(heading) + len(text) + BETWEEN
    return problems


def _draw_admission_labs(case: Case, budget: float) -> list[str]:
    """Draw panels that the admission results lack, each once."""
    random, own = case.rng.random, {*load_common_texts().labs, *case.condition.labs}
    lines: list[str] = []
    for panel in PANELS:
        if budget > 0 and not any(name in own for name, *_ in panel):
            lines.append(_format_lab_line(random, panel))
            budget -= len(lines[-1])
    return lines


def _format_lab_line(random: Callable[[], float], panel: Panel) -> str:
    """Format '___ 06:15AM BLOOD Glucose-104 UreaN-14 …'."""
    values = [f"{name}-{low + random() * (high - low):.{decimals}f}" for name, low, high, decimals in panel]
    time = f"{4 + int(random() * 8):02d}:{5 * int(random() * 12):02d}{'AM' if random() < 0.8 else 'PM'}"
    return f"___ {time} BLOOD {' '.join(values)}"


def _draw_later_labs(case: Case, budget: float) -> list[str]:
    """Draw result lines of the following days."""
    lines: list[str] = []
    random = case.rng.random
    while budget > 0:
        line = _format_lab_line(random, PANELS[DAILY[int(random() * len(DAILY))]])
        if _is_room_for(case, len(line), budget):
            lines.append(line)
        budget -= len(line) + 1
    return lines
