"""Write the sections of a note that were known at admission. They fit the first diagnosis and never name it."""

import re
from collections.abc import Callable, Mapping

from builders.synthetic.clinical_case import Case
from builders.synthetic.generator_knowledge import load_common_texts
from builders.synthetic.note_filler import Filler
from builders.synthetic.phrases import Phrase

STORY_KEPT = 0.85
"""Share of the story's sentences, after the first two, that a note includes."""
COLON_PARAGRAPH = 0.15
"""Share of present illnesses with a paragraph that opens like a header: 'She reports the following:'."""
HEADER_IN_PROSE = 0.03
"""Share of present illnesses with a header's words inside the text: 'Further past medical history: …'."""
LIST_WITH_BLANK_LINES = 0.1
"""Share of problem lists with blank lines between items."""
MEDICATION_KEPT = 0.85
SURGICAL_HISTORY_INSIDE = 0.2
"""Share of medical histories that end in an operation."""

LINE = 78
"""Characters per line in wrapped notes."""
WRAPPED = 0.5
"""Share of notes whose paragraphs are broken into lines mid-sentence."""

_WORDS_OF_A_NAME = re.compile(r"^[A-Z][a-z]")


def lowercase_first(text: str) -> str:
    """Return 'chest pain' for 'Chest pain', but leave 'SOB' and 'L hip pain' as they are."""
    return text[0].lower() + text[1:] if _WORDS_OF_A_NAME.match(text) else text


def wrap_lines(text: str) -> str:
    """Break paragraphs at spaces into lines of at most `LINE` characters."""
    lines = []
    for paragraph in text.split("\n"):
        while len(paragraph) > LINE and (cut := paragraph.rfind(" ", 0, LINE)) > 0:
            lines.append(paragraph[:cut])
            paragraph = paragraph[cut + 1 :]
        lines.append(paragraph)
    return "\n".join(lines)


def withhold_title(case: Case, text: str) -> str:
    """Blank the first diagnosis's title, as de-identification blanks a name.

    This only happens for titles that are common words, such as R11.0 'Nausea' in a review of systems.
    """
    if case.title.lower() not in text.lower():
        return text
    return re.sub(re.escape(case.title), "___", text, flags=re.IGNORECASE)


def list_past_conditions(case: Case) -> list[str]:
    """List earlier conditions, precursors of this disease first."""
    own = [case.say(phrase) for phrase in case.condition.history]
    case.rng.shuffle(own)
    return [*own[:3], *case.known_conditions]


def list_home_medications(case: Case, more: list[str]) -> list[str]:
    """List the drugs taken at home, each once: for the disease, for comorbidities, and `more`."""
    drugs = [case.say(phrase) for phrase in case.condition.medications if case.chance(MEDICATION_KEPT)]
    drugs += [case.say(entry.medication) for entry in case.comorbidities if entry.medication is not None]
    return list({line.split()[0]: line for line in [*drugs, *more]}.values())


def write_present_illness(case: Case, complaint: str, past: list[str], vitals: str, filler: Filler) -> str:
    """Write the opening, the story, the sentence specific to the code, background and arrival."""
    lines, story = load_common_texts().lines, case.condition.story
    opening = case.say_one_of(lines["opening"])
    if case.is_newborn:
        opening = f"Baby {case.facts['man']} ___"
    elif past:
        history = case.rng.choice(("a history of", "h/o", "PMH of", "PMHx significant for"))
        opening += f" with {history} {', '.join(lowercase_first(item) for item in past[:3])}"
    sentences_kept = [sentence for i, sentence in enumerate(story) if i < 2 or case.chance(STORY_KEPT)]
    first = f"{opening} {case.say_one_of(lines['presenting'])} {lowercase_first(complaint)}. "
    hint = case.condition.codes.get(case.stay.first.code)
    sentences = [case.say(sentence) for sentence in sentences_kept] + ([case.say(hint)] if hint is not None else [])
    paragraphs = [first + " ".join(sentences)]
    if case.chance(COLON_PARAGRAPH) and len(sentences) > 3:
        paragraphs = [
            first + " ".join(sentences[:2]),
            f"{case.facts['He']} reports the following: " + " ".join(sentences[2:]),
        ]
    if case.chance(HEADER_IN_PROSE):
        paragraphs[0] += f" {case.rng.choice(_HEADERS_IN_PROSE)}"
    paragraphs += filler.background
    if not case.is_newborn and not case.condition.is_planned:
        emergency = case.say_one_of(lines["emergency"]).replace("VITALS", vitals)
        paragraphs += [emergency, *filler.emergency_detail, case.say_one_of(lines["arrival"])]
    if case.chance(0.6) and not case.is_newborn:
        paragraphs.append(case.say_one_of(lines["review"]))
    return "\n\n".join(paragraphs)


_HEADERS_IN_PROSE = (
    "Further past medical history: as listed below.",
    "The rest of the past medical history: see below.",
    "Reviewed with the family, including social history: unchanged, and family history: as below.",
    "Of the physical exam: see below; of the hospital course elsewhere: records are awaited.",
    "A list of home medications: brought along and copied below.",
)


def format_problem_list(case: Case, items: list[str]) -> str:
    """Format a problem list in one of the usual ways."""
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


def write_medical_history(case: Case, past: list[str]) -> str:
    operations = load_common_texts().lines["surgical_history"]
    more = [case.say_quiet_one_of(operations)] if case.chance(SURGICAL_HISTORY_INSIDE) and not case.is_newborn else []
    return format_problem_list(case, past + [item for item in more if not _is_for_women(item) or case.stay.sex == "F"])


def write_surgical_history(case: Case) -> str:
    items = {case.say_quiet_one_of(load_common_texts().lines["surgical_history"]) for _ in range(2)}
    return format_problem_list(case, sorted(item for item in items if not _is_for_women(item) or case.stay.sex == "F"))


def _is_for_women(operation: str) -> bool:
    return operation.startswith("C-section")


def write_family_history(case: Case) -> str:
    return case.say_quiet_one_of(load_common_texts().lines["newborn_family" if case.is_newborn else "family"])


def write_vital_signs(case: Case, own: Mapping[str, Phrase]) -> str:
    """Write 'T 98.4 BP 132/76 HR 88 RR 18 SpO2 97% RA' or a variant."""
    usual = load_common_texts().newborn_vitals if case.is_newborn else load_common_texts().vitals
    t, hr, sbp, dbp, rr, spo2 = (
        case.say(own.get(name) or usual[name]) for name in ("t", "hr", "sbp", "dbp", "rr", "spo2")
    )
    oxygen = case.say(own.get("o2") or load_common_texts().vitals["o2"])
    dbp = str(min(int(dbp), int(sbp) - 20))
    return case.rng.choice(
        (
            f"T {t} BP {sbp}/{dbp} HR {hr} RR {rr} SpO2 {spo2}% {oxygen}",
            f"{t} {hr} {sbp}/{dbp} {rr} {spo2}% {oxygen}",
            f"T {t}, HR {hr}, BP {sbp}/{dbp}, RR {rr}, O2 sat {spo2}% {oxygen}",
        )
    )


def write_exam(case: Case, own: Mapping[str, Phrase], vitals: str) -> str:
    """Write the exam from head to toe, one system per line: the condition's findings, or else normal ones."""
    labels = load_common_texts().systems if case.chance(0.6) else load_common_texts().short_systems
    lines = [f"{case.rng.choice(('VS', 'Vitals', 'VITALS'))}: {vitals}"]
    for system, label in labels.items():
        if finding := own.get(system) or load_common_texts().normal.get(system):
            lines.append(f"{label}: {case.say(finding)}")
    return "\n".join(lines)


def write_labs(case: Case, own: Mapping[str, Phrase]) -> str:
    """Write two or three lines of results, the condition's values among normal ones: '___ 06:50PM BLOOD WBC-8.1 …'."""
    values = {name: case.say(phrase) for name, phrase in {**load_common_texts().labs, **own}.items()}
    time = f"___ {case.rng.randint(1, 12):02d}:{case.rng.randrange(0, 60, 5):02d}{case.rng.choice(('AM', 'PM'))} BLOOD"
    blood = [f"{name}-{value}" for name, value in values.items() if name in load_common_texts().blood_count]
    usual = [
        f"{name}-{values[name]}" for name in load_common_texts().labs if name not in load_common_texts().blood_count
    ]
    special = [
        f"{name}-{values[name]}"
        for name in own
        if name not in load_common_texts().labs and name not in load_common_texts().blood_count
    ]
    return "\n".join(f"{time} {' '.join(line)}" for line in (blood, usual, special) if line)


_ADMISSION_EXAMS = (
    "ADMISSION PHYSICAL EXAM:",
    "ADMISSION EXAM:",
    "Admission PE:",
    "On admission:",
    "ADMISSION PHYSICAL EXAM:\n",
    "PHYSICAL EXAM ON ADMISSION:",
    "ADMISSION EXAM\n==============",
)
_ADMISSION_LABS = ("ADMISSION LABS:", "ADMISSION LABS", "LABS ON ADMISSION:", "Admission labs:", "ADMISSION LABS:\n")


def draw_exam_heading(case: Case) -> str:
    return f"{case.rng.choice(_ADMISSION_EXAMS)}\n"


def draw_labs_heading(case: Case) -> str:
    return f"{case.rng.choice(_ADMISSION_LABS)}\n"
