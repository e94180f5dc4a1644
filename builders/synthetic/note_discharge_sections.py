"""The parts of a note that were known only later. They name the first diagnosis: what a reader must not be shown."""

from collections.abc import Callable

from builders.synthetic.clinical_case import Case, common
from builders.synthetic.note_admission_sections import as_list, examination, laboratory, lower_first
from builders.synthetic.note_filler import Surplus
from builders.synthetic.phrases import Phrase

PROBLEM_HEADINGS = 0.7
"""Share of hospital courses written problem by problem, under '#'."""
TITLE_AS_DIAGNOSIS = 0.5
"""Share of discharge diagnoses in the words of the code's title; the others in a clinician's."""

_NONE = Phrase.parse("None // none // None.")


def procedure(case: Case) -> str:
    return case.say(case.condition.procedure or _NONE)


def findings(case: Case, studies: list[str]) -> str:
    """Imaging and microbiology: the disease's, which name what they show, then the others'."""
    said = [case.say(phrase) for phrase in case.condition.findings]
    if not said and not studies:
        return ""
    heading = case.rng.choice(("IMAGING:", "IMAGING AND STUDIES:", "STUDIES", "MICRO/IMAGING:"))
    return "\n".join([heading, *said]) + "".join(f"\n\n{study}" for study in studies)


def discharge_labs(case: Case) -> str:
    return f"{case.rng.choice(('DISCHARGE LABS:', 'LABS ON DISCHARGE:', 'DISCHARGE LABS'))}\n{laboratory(case, {})}"


def discharge_exam(case: Case, vitals: str) -> str:
    """The exam at the end, under one of the headings people give it; after a death, of the death."""
    if case.stay.died:
        return (
            "DEATH EXAM:\nNo response to verbal or tactile stimuli. Pupils fixed and dilated. No heart or breath "
            f"sounds for 2 minutes. Died of {lower_first(case.condition.name)}."
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
            "Discharge physical exam ([date]):".replace("[date]", "___"),
        )
    )
    return f"{heading}\n{examination(case, case.condition.exam_after, vitals)}"


def short_course(case: Case) -> str:
    """What it was, what was done and how it ended, in one paragraph."""
    told = " ".join([case.say(sentence) for sentence in case.condition.course])
    return f"{_summary(case)} {told} {_ending(case)}"


def hospital_course(case: Case, more: Surplus) -> str:
    """What it was, what was done, and the other problems, these in paragraphs or under a '#' each."""
    condition = case.condition
    if not case.chance(PROBLEM_HEADINGS):
        others = [f"{heading}: {text}" for heading, text in more.problems]
        return "\n\n".join([short_course(case), *more.events, *others, *_transitional(case, more)])
    told = " ".join([case.say(sentence) for sentence in condition.course])
    problems = [f"# {condition.name[0].upper()}{condition.name[1:]}: {told}"]
    for problem in case.known_before:
        if case.chance(0.5):
            usual = case.rng.choice(("continued home regimen", "stable, home medications continued", "not active"))
            problems.append(f"# {problem}: {usual}.")
    problems += [f"# {heading}: {text}" for heading, text in more.problems]
    heading = case.rng.choice(("ACTIVE ISSUES:\n", "ACUTE ISSUES\n=============\n", ""))
    problems[0] = heading + problems[0]
    return "\n\n".join([_summary(case), *more.events, *problems, _ending(case), *_transitional(case, more)])


def _summary(case: Case) -> str:
    who = f"Baby {case.facts['man']} ___" if case.newborn else f"{case.facts['title']} ___"
    verb = case.rng.choice(("admitted with", "admitted for", "cared for because of", "treated for"))
    return f"{who} was {verb} {lower_first(case.condition.name)}, as described in the history of present illness."


def _transitional(case: Case, more: Surplus) -> list[str]:
    """What is left for others to do; nothing after a death."""
    if case.stay.died:
        return []
    visit = f"- Follow up with PCP within {case.rng.choice((2, 3))} weeks"
    return ["\n".join(["TRANSITIONAL ISSUES:", visit, "- Repeat labs", *more.transitional])]


def _ending(case: Case) -> str:
    he, days = case.facts["He"], max(case.stay.days, 1)
    if case.stay.died:
        return f"Despite these measures {case.facts['he']} worsened, was made comfortable, and expired on day {days}."
    return case.rng.choice(
        (
            f"{he} was discharged on hospital day {days} in stable condition.",
            f"{he} improved and was discharged after {days} {'day' if days == 1 else 'days'}.",
            f"By the day of discharge {case.facts['he']} was eating, drinking and at {case.facts['his']} baseline.",
        )
    )


def discharge_medications(case: Case, at_home: list[str], prescriptions: int = 0) -> str:
    """New ones, then those taken before; so many of them with the prescription below."""
    if case.stay.died:
        return "None; patient expired."
    new = [case.say(phrase) for phrase in case.condition.treatment]
    everything = list({line.split()[0]: line for line in [*new, *at_home]}.values())
    with_prescription = [
        f"{line} \n{_prescription(case, line)}" if place < prescriptions else line
        for place, line in enumerate(everything)
    ]
    return numbered(with_prescription) if everything else "None"


_OFTEN = {"DAILY": "once a day", "BID": "twice a day", "TID": "three times a day", "QHS": "at bedtime"}


def _prescription(case: Case, line: str) -> str:
    """'RX *senna 8.6 mg 1 tablet(s) by mouth twice a day Disp #*60 Tablet Refills:*0' of 'Senna 8.6 mg PO BID'."""
    drug, by_mouth, rest = line.partition(" PO ")
    supply, refills = case.rng.choice((10, 14, 20, 28, 30, 60, 90)), int(case.rng.random() * 4)
    if not by_mouth:
        return f"RX *{drug.lower()} as directed Disp #*1 Package Refills:*{refills}"
    form = case.rng.choice(("tablet", "capsule"))
    often = _OFTEN.get(rest.split(":")[0], "as directed") + (" as needed" if "PRN" in rest else "")
    return f"RX *{drug.lower()} 1 {form}(s) by mouth {often} Disp #*{supply} {form.title()} Refills:*{refills}"


def numbered(lines: list[str]) -> str:
    return "\n".join(f"{number}. {line} " for number, line in enumerate(lines, 1))


def disposition(case: Case) -> str:
    return common().disposition.get(case.stay.destination, "Home")


def discharge_diagnosis(case: Case) -> str:
    words = case.condition.other_names or (case.condition.name,)
    name = case.title if case.chance(TITLE_AS_DIAGNOSIS) else case.rng.choice(words)
    others = list(case.known_before[:4])
    forms: tuple[Callable[[], str], ...] = (
        lambda: "\n".join([name, *others]),
        lambda: "\n".join(["PRIMARY DIAGNOSIS:", name, "", "SECONDARY DIAGNOSES:", *(others or ["None"])]),
        lambda: "\n".join(["Primary:", name, "Secondary:", as_list(case, others)]),
        lambda: name,
    )
    return case.rng.choice(forms)()


def discharge_condition(case: Case) -> str:
    if case.stay.died:
        return "Deceased"
    if case.newborn:
        return "Stable, feeding well"
    return "\n".join(case.say(line) for line in common().lines["condition"])


def instructions(case: Case, advice: list[str]) -> str:
    """A letter to the patient that says why they were here."""
    if case.stay.died:
        return "N/A"
    dear = "Dear parents," if case.newborn else f"Dear {case.facts['title']} ___,"
    why = f"You were admitted to the hospital because of {lower_first(case.condition.name)}."
    if case.newborn:
        why = f"Your baby was cared for because of {lower_first(case.condition.name)}."
    first, *middle, last = (case.say(line) for line in common().lines["instructions"])
    return "\n\n".join([dear, why, first, *advice, *middle, last])


def addendum(case: Case) -> str:
    """What came in, or came to mind, after the note was signed."""
    name = lower_first(case.condition.name)
    return case.rng.choice(
        (
            f"Final results came back after discharge and agree with {name}. The PCP's office was called.",
            f"The primary diagnosis of this stay is {name}; an earlier version of this summary left it out.",
            f"Please note that the patient was treated for {name} and that the list of medications was corrected.",
            f"Pathology is final: in keeping with {name}. The patient was informed by telephone on ___.",
        )
    )
