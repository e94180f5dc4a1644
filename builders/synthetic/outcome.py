"""The parts of a note that were known only later. They name the first diagnosis: what a reader must not be shown."""

from collections.abc import Callable

from builders.synthetic.admission import as_list, examination, laboratory, lower_first
from builders.synthetic.case import Case, common
from builders.synthetic.phrases import Phrase

PROBLEM_HEADINGS = 0.7
"""Share of hospital courses written problem by problem, under '#'."""
TITLE_AS_DIAGNOSIS = 0.5
"""Share of discharge diagnoses in the words of the code's title; the others in a clinician's."""

_NONE = Phrase.parse("None // none // None.")


def procedure(case: Case) -> str:
    return case.say(case.condition.procedure or _NONE)


def findings(case: Case) -> str:
    """Imaging and microbiology, which name what they show."""
    said = [case.say(phrase) for phrase in case.condition.findings]
    if not said:
        return ""
    return f"{case.rng.choice(('IMAGING:', 'IMAGING AND STUDIES:', 'STUDIES', 'MICRO/IMAGING:'))}\n" + "\n".join(said)


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
            "At discharge:",
            "Upon discharge:",
            "On discharge:",
            "Discharge physical exam ([date]):".replace("[date]", "___"),
        )
    )
    return f"{heading}\n{examination(case, case.condition.exam_after, vitals)}"


def hospital_course(case: Case) -> str:
    """What it was, what was done, and the other problems."""
    condition = case.condition
    who = f"Baby {case.facts['man']} ___" if case.newborn else f"{case.facts['title']} ___"
    verb = case.rng.choice(("admitted with", "admitted for", "cared for because of", "treated for"))
    summary = f"{who} was {verb} {lower_first(condition.name)}, as described in the history of present illness."
    told = " ".join(case.say(sentence) for sentence in condition.course)
    end = _ending(case)
    if not case.chance(PROBLEM_HEADINGS):
        return f"{summary} {told} {end}"
    problems = [f"# {condition.name[0].upper()}{condition.name[1:]}: {told}"]
    for problem in case.known_before:
        if case.chance(0.5):
            usual = case.rng.choice(("continued home regimen", "stable, home medications continued", "not active"))
            problems.append(f"# {problem}: {usual}.")
    heading = case.rng.choice(("ACTIVE ISSUES:\n", "ACUTE ISSUES\n=============\n", ""))
    problems[0] = heading + problems[0]
    transitional = f"TRANSITIONAL ISSUES:\n- Follow up with PCP within {case.rng.choice((2, 3))} weeks\n- Repeat labs"
    closing = [] if case.stay.died else [transitional]
    return "\n\n".join([summary, *problems, end, *closing])


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


def discharge_medications(case: Case, at_home: list[str]) -> str:
    if case.stay.died:
        return "None; patient expired."
    new = [case.say(phrase) for phrase in case.condition.treatment]
    everything = list({line.split()[0]: line for line in [*new, *at_home]}.values())
    return numbered(everything) if everything else "None"


def numbered(lines: list[str]) -> str:
    return "\n".join(f"{number}. {line} " for number, line in enumerate(lines, 1))


def disposition(case: Case) -> str:
    return common().disposition.get(case.stay.destination, "Home")


def discharge_diagnosis(case: Case) -> str:
    name = case.title if case.chance(TITLE_AS_DIAGNOSIS) else case.condition.name
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


def instructions(case: Case) -> str:
    """A letter to the patient that says why they were here."""
    if case.stay.died:
        return "N/A"
    dear = "Dear parents," if case.newborn else f"Dear {case.facts['title']} ___,"
    why = f"You were admitted to the hospital because of {lower_first(case.condition.name)}."
    if case.newborn:
        why = f"Your baby was cared for because of {lower_first(case.condition.name)}."
    return "\n\n".join([dear, why, *(case.say(line) for line in common().lines["instructions"])])
