"""Write the sections of a note that were known only later. They name the diagnosis, so a model must not see them."""

from collections.abc import Callable

from builders.synthetic.clinical_case import Case
from builders.synthetic.generator_knowledge import load_common_texts
from builders.synthetic.note_admission_sections import format_problem_list, lowercase_first, write_exam, write_labs
from builders.synthetic.note_filler import Filler
from builders.synthetic.phrases import Phrase

PROBLEM_HEADINGS = 0.7
"""Share of hospital courses written problem by problem under '#'."""
TITLE_AS_DIAGNOSIS = 0.5
"""Share of discharge diagnoses in the words of the code's title; the others use a clinician's words."""
DISCHARGE_LABS = 0.4
"""Share of notes with laboratory results of the discharge."""

_NONE = Phrase.parse("None // none // None.")


def write_procedure(case: Case) -> str:
    return case.say(case.condition.procedure or _NONE)


def write_findings(case: Case, studies: list[str]) -> str:
    """Write imaging and microbiology: the disease's findings, then other studies."""
    texts = [case.say(phrase) for phrase in case.condition.findings]
    if not texts and not studies:
        return ""
    heading = case.rng.choice(("IMAGING:", "IMAGING AND STUDIES:", "STUDIES", "MICRO/IMAGING:"))
    return "\n".join([heading, *texts]) + "".join(f"\n\n{study}" for study in studies)


def write_discharge_labs(case: Case) -> str:
    return f"{case.rng.choice(('DISCHARGE LABS:', 'LABS ON DISCHARGE:', 'DISCHARGE LABS'))}\n{write_labs(case, {})}"


def build_later_results(case: Case, filler: Filler) -> list[str]:
    """Build the later results in blocks, each under a heading."""
    blocks = []
    if filler.later_labs:
        heading = case.rng.choice(("INTERVAL LABS:", "OTHER LABS:", "LABS DURING STAY:"))
        blocks.append("\n".join([heading, *filler.later_labs]))
    if findings := write_findings(case, filler.studies):
        blocks.append(findings)
    if case.chance(DISCHARGE_LABS) and not case.stay.has_died:
        blocks.append(write_discharge_labs(case))
    return blocks


def write_discharge_exam(case: Case, vitals: str) -> str:
    """Write the final exam under one of the usual headings, or the death exam."""
    if case.stay.has_died:
        return (
            "DEATH EXAM:\nNo response to verbal or tactile stimuli. Pupils fixed and dilated. No heart or breath "
            f"sounds for 2 minutes. Died of {lowercase_first(case.condition.name)}."
        )
    heading = case.rng.choice(
        (
            "DISCHARGE PHYSICAL EXAM:",
            "DISCHARGE EXAM:",
            "DISCHARGE EXAM",
            "Discharge PE:",
            f"EXAM ON DISCHARGE (day {max(case.stay.days, 1)}):",
            f"DISCHARGE EXAM [HD {max(case.stay.days, 1)}]:",
            "DISCHARGE EXAM\n==============",
            "PHYSICAL EXAM AT DISCHARGE:",
            "At discharge:",
            "Upon discharge:",
            "On discharge:",
            "Discharge physical exam (___):",
        )
    )
    return f"{heading}\n{write_exam(case, case.condition.exam_after, vitals)}"


def write_short_course(case: Case) -> str:
    """Write diagnosis, treatment and outcome in one paragraph."""
    course = " ".join([case.say(sentence) for sentence in case.condition.course])
    return f"{_write_summary(case)} {course} {_write_ending(case)}"


def write_hospital_course(case: Case, filler: Filler) -> str:
    """Write diagnosis, treatment and the other problems, in paragraphs or under '#'."""
    condition = case.condition
    if not case.chance(PROBLEM_HEADINGS):
        others = [f"{heading}: {text}" for heading, text in filler.problems]
        return "\n\n".join(
            [write_short_course(case), *filler.events, *others, *_list_transitional_issues(case, filler)]
        )
    course = " ".join([case.say(sentence) for sentence in condition.course])
    problems = [f"# {condition.name[0].upper()}{condition.name[1:]}: {course}"]
    for problem in case.known_conditions:
        if case.chance(0.5):
            usual = case.rng.choice(("continued home regimen", "stable, home medications continued", "not active"))
            problems.append(f"# {problem}: {usual}.")
    problems += [f"# {heading}: {text}" for heading, text in filler.problems]
    heading = case.rng.choice(("ACTIVE ISSUES:\n", "ACUTE ISSUES\n=============\n", ""))
    problems[0] = heading + problems[0]
    return "\n\n".join(
        [_write_summary(case), *filler.events, *problems, _write_ending(case), *_list_transitional_issues(case, filler)]
    )


def _write_summary(case: Case) -> str:
    who = f"Baby {case.facts['man']} ___" if case.is_newborn else f"{case.facts['title']} ___"
    verb = case.rng.choice(("admitted with", "admitted for", "cared for because of", "treated for"))
    return f"{who} was {verb} {lowercase_first(case.condition.name)}, as described in the history of present illness."


def _list_transitional_issues(case: Case, filler: Filler) -> list[str]:
    """List what remains to be done after discharge; [] after a death."""
    if case.stay.has_died:
        return []
    visit = f"- Follow up with PCP within {case.rng.choice((2, 3))} weeks"
    return ["\n".join(["TRANSITIONAL ISSUES:", visit, "- Repeat labs", *filler.transitional])]


def _write_ending(case: Case) -> str:
    he, days = case.facts["He"], max(case.stay.days, 1)
    if case.stay.has_died:
        return f"Despite these measures {case.facts['he']} worsened, was made comfortable, and expired on day {days}."
    return case.rng.choice(
        (
            f"{he} was discharged on hospital day {days} in stable condition.",
            f"{he} improved and was discharged after {days} {'day' if days == 1 else 'days'}.",
            f"By the day of discharge {case.facts['he']} was eating, drinking and at {case.facts['his']} baseline.",
        )
    )


def write_discharge_medications(case: Case, home_medications: list[str], prescriptions: int = 0) -> str:
    """Write the new medications, then those from home, the first `prescriptions` lines with a prescription."""
    if case.stay.has_died:
        return "None; patient expired."
    new = [case.say(phrase) for phrase in case.condition.treatment]
    everything = list({line.split()[0]: line for line in [*new, *home_medications]}.values())
    with_prescription = [
        f"{line} \n{_write_prescription(case, line)}" if place < prescriptions else line
        for place, line in enumerate(everything)
    ]
    return number_lines(with_prescription) if everything else "None"


_OFTEN = {"DAILY": "once a day", "BID": "twice a day", "TID": "three times a day", "QHS": "at bedtime"}


def _write_prescription(case: Case, line: str) -> str:
    """Write 'RX *senna 8.6 mg 1 tablet(s) by mouth twice a day Disp #*60 …' for 'Senna 8.6 mg PO BID'."""
    drug, by_mouth, rest = line.partition(" PO ")
    supply, refills = case.rng.choice((10, 14, 20, 28, 30, 60, 90)), int(case.rng.random() * 4)
    if not by_mouth:
        return f"RX *{drug.lower()} as directed Disp #*1 Package Refills:*{refills}"
    form = case.rng.choice(("tablet", "capsule"))
    often = _OFTEN.get(rest.split(":")[0], "as directed") + (" as needed" if "PRN" in rest else "")
    return f"RX *{drug.lower()} 1 {form}(s) by mouth {often} Disp #*{supply} {form.title()} Refills:*{refills}"


def number_lines(lines: list[str]) -> str:
    return "\n".join(f"{number}. {line} " for number, line in enumerate(lines, 1))


def format_home_medications(case: Case, home_medications: list[str]) -> str:
    if not home_medications:
        return "None"
    remark = "The Preadmission Medication list is accurate and complete.\n" if case.chance(0.6) else ""
    return remark + number_lines(home_medications)


def get_disposition(case: Case) -> str:
    return load_common_texts().disposition.get(case.stay.destination, "Home")


def write_discharge_diagnosis(case: Case) -> str:
    words = case.condition.other_names or (case.condition.name,)
    name = case.title if case.chance(TITLE_AS_DIAGNOSIS) else case.rng.choice(words)
    others = list(case.known_conditions[:4])
    forms: tuple[Callable[[], str], ...] = (
        lambda: "\n".join([name, *others]),
        lambda: "\n".join(["PRIMARY DIAGNOSIS:", name, "", "SECONDARY DIAGNOSES:", *(others or ["None"])]),
        lambda: "\n".join(["Primary:", name, "Secondary:", format_problem_list(case, others)]),
        lambda: name,
    )
    return case.rng.choice(forms)()


def write_discharge_condition(case: Case) -> str:
    if case.stay.has_died:
        return "Deceased"
    if case.is_newborn:
        return "Stable, feeding well"
    return "\n".join(case.say(line) for line in load_common_texts().lines["condition"])


def write_instructions(case: Case, advice: list[str]) -> str:
    """Write a letter to the patient that says why they were admitted."""
    if case.stay.has_died:
        return "N/A"
    dear = "Dear parents," if case.is_newborn else f"Dear {case.facts['title']} ___,"
    why = f"You were admitted to the hospital because of {lowercase_first(case.condition.name)}."
    if case.is_newborn:
        why = f"Your baby was cared for because of {lowercase_first(case.condition.name)}."
    first, *middle, last = (case.say(line) for line in load_common_texts().lines["instructions"])
    return "\n\n".join([dear, why, first, *advice, *middle, last])


def write_addendum(case: Case) -> str:
    """Write text that was added after the note was signed."""
    name = lowercase_first(case.condition.name)
    return case.rng.choice(
        (
            f"Final results came back after discharge and agree with {name}. The PCP's office was called.",
            f"The primary diagnosis of this stay is {name}; an earlier version of this summary left it out.",
            f"Please note that the patient was treated for {name} and that the list of medications was corrected.",
            f"Pathology is final: in keeping with {name}. The patient was informed by telephone on ___.",
        )
    )
