"""The parts of a note that were known at admission. They fit the first diagnosis and never name it."""

import re
from collections.abc import Callable, Mapping

from builders.synthetic.clinical_case import Case, common
from builders.synthetic.note_filler import Surplus
from builders.synthetic.phrases import Phrase

STORY_KEPT = 0.85
"""Share of the story's sentences, past the first two, that a note tells."""
COLON_PARAGRAPH = 0.15
"""Share of present illnesses with a paragraph that opens like a header: 'She reports the following:'."""
HEADER_IN_PROSE = 0.03
"""Share of present illnesses with a header's words inside a sentence: 'Further past medical history: …'."""
LIST_WITH_BLANK_LINES = 0.1
"""Share of problem lists whose items are parted by blank lines."""
MEDICATION_KEPT = 0.85
SURGICAL_HISTORY_INSIDE = 0.2
"""Share of medical histories that end in an operation."""

LINE = 78
"""Characters, of notes that are wrapped."""
WRAPPED = 0.5
"""Share of notes whose paragraphs are broken into lines, mid-sentence."""

_WORDS_OF_A_NAME = re.compile(r"^[A-Z][a-z]")


def lower_first(text: str) -> str:
    """'Chest pain' → 'chest pain', but 'SOB' and 'L hip pain' as they are."""
    return text[0].lower() + text[1:] if _WORDS_OF_A_NAME.match(text) else text


def wrapped(text: str) -> str:
    """Paragraphs broken at spaces into lines of `LINE` characters; lists and blank lines as they are."""
    lines = []
    for paragraph in text.split("\n"):
        while len(paragraph) > LINE and (cut := paragraph.rfind(" ", 0, LINE)) > 0:
            lines.append(paragraph[:cut])
            paragraph = paragraph[cut + 1 :]
        lines.append(paragraph)
    return "\n".join(lines)


def histories(case: Case) -> list[str]:
    """What the patient had before, this disease's forerunners first."""
    own = [case.say(phrase) for phrase in case.condition.history]
    case.rng.shuffle(own)
    return [*own[:3], *case.known_before]


def medications(case: Case, more: list[str]) -> list[str]:
    """What the patient took at home, each drug once: for the disease, for others, and what else there is."""
    taken = [case.say(phrase) for phrase in case.condition.medications if case.chance(MEDICATION_KEPT)]
    taken += [case.say(entry.medication) for entry in case.comorbidities if entry.medication is not None]
    return list({line.split()[0]: line for line in [*taken, *more]}.values())


def present_illness(case: Case, complaint: str, past: list[str], vitals: str, more: Surplus) -> str:
    """Opening, story, the sentence that tells the exact code, background, and how the patient came in."""
    lines, story = common().lines, case.condition.story
    opening = case.one_of(lines["opening"])
    if case.newborn:
        opening = f"Baby {case.facts['man']} ___"
    elif past:
        opening += f" with [history] {', '.join(lower_first(item) for item in past[:3])}".replace(
            "[history]", case.rng.choice(("a history of", "h/o", "PMH of", "PMHx significant for"))
        )
    told = [sentence for i, sentence in enumerate(story) if i < 2 or case.chance(STORY_KEPT)]
    first = f"{opening} {case.one_of(lines['presenting'])} {lower_first(complaint)}. "
    hint = case.condition.codes.get(case.stay.first.code)
    sentences = [case.say(sentence) for sentence in told] + ([case.say(hint)] if hint is not None else [])
    paragraphs = [first + " ".join(sentences)]
    if case.chance(COLON_PARAGRAPH) and len(sentences) > 3:
        paragraphs = [
            first + " ".join(sentences[:2]),
            f"{case.facts['He']} reports the following: " + " ".join(sentences[2:]),
        ]
    if case.chance(HEADER_IN_PROSE):
        paragraphs[0] += f" {case.rng.choice(_HEADERS_IN_PROSE)}"
    paragraphs += more.background
    if not case.newborn and not case.condition.planned:
        emergency = case.one_of(lines["emergency"]).replace("VITALS", vitals)
        paragraphs += [emergency, *more.emergency_detail, case.one_of(lines["arrival"])]
    if case.chance(0.6) and not case.newborn:
        paragraphs.append(case.one_of(lines["review"]))
    return "\n\n".join(paragraphs)


_HEADERS_IN_PROSE = (
    "Further past medical history: as listed below.",
    "The rest of the past medical history: see below.",
    "Reviewed with the family, including social history: unchanged, and family history: as below.",
    "Of the physical exam: see below; of the hospital course elsewhere: records are awaited.",
    "A list of home medications: brought along and copied below.",
)


def as_list(case: Case, items: list[str]) -> str:
    """A problem list in one of the ways people write them."""
    if not items:
        return "None"
    if case.chance(LIST_WITH_BLANK_LINES):
        return "\n\n".join(f"# {item}" for item in items)
    styles: tuple[Callable[[list[str]], str], ...] = (
        "\n".join,
        lambda lines: "\n".join(f"- {line}" for line in lines),
        lambda lines: "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1)),
        ", ".join,
    )
    return case.rng.choice(styles)(items)


def medical_history(case: Case, past: list[str]) -> str:
    operations = common().lines["surgical_history"]
    more = [case.quiet_one_of(operations)] if case.chance(SURGICAL_HISTORY_INSIDE) and not case.newborn else []
    return as_list(case, past + [item for item in more if not _for_women(item) or case.stay.sex == "F"])


def surgical_history(case: Case) -> str:
    items = {case.quiet_one_of(common().lines["surgical_history"]) for _ in range(2)}
    return as_list(case, sorted(item for item in items if not _for_women(item) or case.stay.sex == "F"))


def _for_women(operation: str) -> bool:
    return operation.startswith("C-section")


def family_history(case: Case) -> str:
    return case.quiet_one_of(common().lines["newborn_family" if case.newborn else "family"])


def vital_signs(case: Case, own: Mapping[str, Phrase]) -> str:
    """'T 98.4 BP 132/76 HR 88 RR 18 SpO2 97% RA'."""
    usual = common().newborn_vitals if case.newborn else common().vitals
    t, hr, sbp, dbp, rr, spo2 = (
        case.say(own.get(name) or usual[name]) for name in ("t", "hr", "sbp", "dbp", "rr", "spo2")
    )
    oxygen = case.say(own.get("o2") or common().vitals["o2"])
    dbp = str(min(int(dbp), int(sbp) - 20))
    return case.rng.choice(
        (
            f"T {t} BP {sbp}/{dbp} HR {hr} RR {rr} SpO2 {spo2}% {oxygen}",
            f"{t} {hr} {sbp}/{dbp} {rr} {spo2}% {oxygen}",
            f"T {t}, HR {hr}, BP {sbp}/{dbp}, RR {rr}, O2 sat {spo2}% {oxygen}",
        )
    )


def examination(case: Case, own: Mapping[str, Phrase], vitals: str) -> str:
    """Head to toe, one system a line: the condition's own findings, normal ones elsewhere."""
    labels = common().systems if case.chance(0.6) else common().short_systems
    lines = [f"{case.rng.choice(('VS', 'Vitals', 'VITALS'))}: {vitals}"]
    for system, label in labels.items():
        if finding := own.get(system) or common().normal.get(system):
            lines.append(f"{label}: {case.say(finding)}")
    return "\n".join(lines)


def laboratory(case: Case, own: Mapping[str, Phrase]) -> str:
    """Two or three lines of results, the condition's values among normal ones: '___ 06:50PM BLOOD WBC-8.1 …'."""
    values = {name: case.say(phrase) for name, phrase in {**common().labs, **own}.items()}
    time = f"___ {case.rng.randint(1, 12):02d}:{case.rng.randrange(0, 60, 5):02d}{case.rng.choice(('AM', 'PM'))} BLOOD"
    blood = [f"{name}-{value}" for name, value in values.items() if name in common().blood_count]
    usual = [f"{name}-{values[name]}" for name in common().labs if name not in common().blood_count]
    special = [
        f"{name}-{values[name]}" for name in own if name not in common().labs and name not in common().blood_count
    ]
    return "\n".join(f"{time} {' '.join(line)}" for line in (blood, usual, special) if line)
