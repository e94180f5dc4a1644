"""The texts of a foreign note: the case's own findings in other hospitals' words.

What was known at admission never names the first diagnosis; texts of the stay do (`NAME` in phrases.yaml).
"""

import re

from builders.synthetic.clinical_case import Case
from builders.synthetic.foreign_style import Layout, load_lexicon
from builders.synthetic.generator_knowledge import load_common_texts
from builders.synthetic.note_admission_sections import format_problem_list, lowercase_first
from builders.synthetic.note_filler import Filler
from builders.synthetic.phrases import Phrase

COLON_PROSE = 0.4
STORY_LABELS = 0.12
LABELLED_HISTORY = 0.3
"""Shares of histories with prose that contains a colon, with a form's lines, and in lines with labels."""


def say_quiet(case: Case, name: str) -> str:
    """Say a line of phrases.yaml that does not name the first diagnosis."""
    return case.say_quiet_one_of(load_lexicon().lines[name])


def say_stay(case: Case, name: str) -> str:
    return fill_name(case, case.say_one_of(load_lexicon().lines[name]))


def fill_name(case: Case, text: str) -> str:
    name = lowercase_first(case.condition.name)
    return re.sub(r"(^|[.:] )NAME", lambda start: f"{start[1]}{name[0].upper()}{name[1:]}", text).replace("NAME", name)


def say_labelled(case: Case, name: str, least: int = 2) -> str:
    """Say some of the lines 'Tobacco: never' of phrases.yaml, in their order."""
    lines = [phrase for phrase in load_lexicon().lines[name] if not case.condition.revealing.search(phrase.source)]
    count = case.rng.randint(min(least, len(lines)), len(lines))
    return "\n".join(case.say(lines[place]) for place in sorted(case.rng.sample(range(len(lines)), count)))


def write_vitals(case: Case, layout: Layout) -> str:
    usual = load_common_texts().newborn_vitals if case.is_newborn else load_common_texts().vitals
    own = case.condition.vitals
    values = {name: case.say(own.get(name) or usual[name]) for name in ("t", "hr", "sbp", "dbp", "rr", "spo2")}
    values["dbp"] = str(min(int(values["dbp"]), int(values["sbp"]) - 20))
    oxygen = case.say(own.get("o2") or load_common_texts().vitals["o2"])
    return (
        load_lexicon().vitals[layout.hospital].format(**values, o2="on room air" if oxygen == "RA" else f"on {oxygen}")
    )


def write_exam(case: Case, layout: Layout, vitals: str) -> str:
    """Write the exam in lines or as running text; `vitals` is '' where they have a header of their own."""
    lexicon, normal = load_lexicon(), load_common_texts().normal
    parts = [(lexicon.vitals_labels[layout.hospital], vitals)] if vitals else []
    for system, labels in lexicon.exam_labels.items():
        if finding := case.condition.exam.get(system) or normal.get(system):
            parts.append((labels[layout.hospital], case.say(finding)))
    if layout.is_prose:
        return " ".join(f"{label}: {text.rstrip('.')}." for label, text in parts)
    return "\n".join(f"{label}: {text}" for label, text in parts)


def write_story(case: Case, layout: Layout, past: list[str], vitals: str, filler: Filler) -> str:
    """Write the present illness in one or more paragraphs."""
    condition = case.condition
    came = say_quiet(case, "came_planned" if condition.is_planned else "came")
    opening = f"Baby {case.facts['man']} ___" if case.is_newborn else say_quiet(case, "opening")
    if past and not case.is_newborn:
        known = ", ".join(map(lowercase_first, past[:3]))
        opening += f" {say_quiet(case, 'background_of').replace('PAST', known)}"
    hint = condition.codes.get(case.stay.first.code)
    sentences = [case.say(sentence) for place, sentence in enumerate(condition.story) if place < 2 or case.chance(0.85)]
    sentences += [case.say(hint)] if hint is not None else []
    more = [] if case.is_newborn or case.chance(0.4) else [say_quiet(case, "denies")]
    paragraphs = [" ".join([f"{opening} {came} {lowercase_first(case.say(condition.complaint))}.", *sentences, *more])]
    if case.chance(COLON_PROSE) and not case.is_newborn:
        prose = say_quiet(case, "colon_prose")
        paragraphs = [f"{paragraphs[0]} {prose}"] if case.chance(0.4) else [*paragraphs, prose]
    if case.chance(STORY_LABELS) and not case.is_newborn:
        paragraphs.append(say_labelled(case, "story_labels"))
    paragraphs += filler.background
    if not condition.is_planned and not case.is_newborn:
        paragraphs += [say_quiet(case, "arrival").replace("VITALS", vitals.rstrip(".")), *filler.emergency_detail]
    return ("\n" if layout.separator == "\n" or case.chance(0.2) else "\n\n").join(paragraphs)


def write_list(case: Case, layout: Layout, items: list[str]) -> str:
    if not items:
        return "None."
    if layout.is_prose:
        return f"{', '.join(items)}."
    if len(items) > 2 and case.chance(0.12):
        return f"Ongoing: {', '.join(items[:-1])}\nRemote: {items[-1]}"
    return format_problem_list(case, items).replace("\n\n", "\n")


def write_surgeries(case: Case, layout: Layout) -> str:
    return write_list(case, layout, sorted({say_quiet(case, "surgical") for _ in range(2)}))


def write_social(case: Case) -> str:
    if case.is_newborn:
        return say_quiet(case, "newborn_social")
    return say_labelled(case, "social_labels") if case.chance(LABELLED_HISTORY) else say_quiet(case, "social")


def write_family(case: Case) -> str:
    if case.is_newborn:
        return say_quiet(case, "newborn_family")
    return say_labelled(case, "family_labels") if case.chance(LABELLED_HISTORY) else say_quiet(case, "family")


def write_review(case: Case) -> str:
    return say_labelled(case, "review_labels", 3) if case.chance(0.5) else say_quiet(case, "review")


def format_medications(case: Case, layout: Layout, drugs: list[str]) -> str:
    """Write a list of drugs with the hospital's shorthand for doses."""
    if not drugs:
        return "None."
    for short, words in load_lexicon().doses.items():
        drugs = [f"{drug} ".replace(f"{short.rstrip()} ", f"{words[layout.hospital % len(words)].rstrip()} ").rstrip()
                 for drug in drugs]  # fmt: skip
    if layout.is_prose:
        return f"{'; '.join(drugs).rstrip('.')}."
    as_needed = [drug for drug in drugs if "PRN" in drug]
    if 0 < len(as_needed) < len(drugs) and case.chance(0.3):
        regular = [drug for drug in drugs if drug not in as_needed]
        first, second = load_lexicon().medication_labels
        return "\n".join([f"{first}:", *regular, f"{second}:", *as_needed])
    return "\n".join(f"{number}. {drug}" for number, drug in enumerate(drugs, 1))


def write_labs(case: Case, layout: Layout, own: bool) -> str:
    """Write laboratory values, with those of the disease if `own`."""
    usual: dict[str, Phrase] = dict(load_common_texts().labs)
    values = {**usual, **(case.condition.labs if own else {})}
    words = load_lexicon().lab_words
    if layout.is_prose:
        return f"{', '.join(f'{words.get(name, name)} {case.say(value)}' for name, value in values.items())}."
    results = [f"{name} {case.say(value)}" for name, value in values.items()]
    return "\n".join("  ".join(results[start : start + 4]) for start in range(0, len(results), 4))


def write_course(case: Case, filler: Filler) -> str:
    """Write diagnosis, treatment and outcome, and the other problems."""
    course = " ".join([say_stay(case, "summary"), *(case.say(sentence) for sentence in case.condition.course)])
    problems = [f"{number}. {heading}: {text}" for number, (heading, text) in enumerate(filler.problems, 2)]
    ending = say_stay(case, "died" if case.stay.has_died else "ending")
    return "\n".join([course, *filler.events, *problems, ending])


def write_course_by_system(case: Case, name: str) -> str:
    lines = load_lexicon().lines[name]
    chosen = sorted(case.rng.sample(range(len(lines)), case.rng.randint(4, len(lines))))
    return "\n".join(case.say(lines[place]) for place in chosen)


def write_discharge_medications(case: Case, layout: Layout, home: list[str]) -> str:
    drugs = list({line.split()[0]: line for line in [*map(case.say, case.condition.treatment), *home]}.values())
    return format_medications(case, layout, drugs)
