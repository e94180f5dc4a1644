"""Which sections bear on a code, in what order, within what budget."""

from dataclasses import replace

import pytest

from deepicd.engines.tokens import TokenCounter
from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Knowledge
from deepicd.knowledge.guideline_sections import SectionIndex, SectionText, choose_passages, join_passages
from guidelines.code_references import find_codes

TEXTS = [  # id, parent, level, heading, text
    ("I", None, 0, "Section I. Conventions", "Applies wherever."),
    ("I.C", "I", 1, "C. Chapters", "Codes A00.0 through T88.9 describe diseases."),
    ("I.C.4", "I.C", 2, "4. Chapter 4: Endocrine (E00-E89)", "Hormones first."),
    ("I.C.4.a", "I.C.4", 3, "a. Diabetes", "Use E08-E13 as needed."),
    ("I.C.4.a.1", "I.C.4.a", 4, "1) Type not stated", "The default is E11.-."),
    ("I.C.4.a.2", "I.C.4.a", 4, "2) Hyperglycemia", "Assign E11.65."),
    ("I.C.4.a.3", "I.C.4.a", 4, "3) Neuropathy", "Assign E11.40."),
    ("I.C.4.b", "I.C.4", 3, "b. General rule", "Treat the cause."),
    ("I.C.4.c", "I.C.4", 3, "c. Obesity", "Assign E66.-."),
    ("I.C.9", "I.C", 2, "9. Chapter 9: Heart (I00-I99)", "Pressure first."),
]
SECTIONS = {
    row[0]: SectionText(
        position=position,
        id=row[0],
        parent=row[1],
        level=row[2],
        chapter=int(row[0].split(".")[2]) if row[2] >= 2 else None,
        heading=row[3],
        text=row[4],
        codes=tuple(find_codes(f"{row[3]} {row[4]}")),
    )
    for position, row in enumerate(TEXTS)
}


def count_words(text: str) -> int:
    return len(text.split())


def chosen(code: str, max_tokens: int = 1000) -> list[tuple[str, str]]:
    passages = choose_passages(
        SectionIndex(SECTIONS), Code.parse(code), max_tokens=max_tokens, count_tokens=count_words
    )
    return [(passage.section.id, passage.reason) for passage in passages]


def test_the_nearest_reference_comes_first_and_general_rules_last():
    assert chosen("E11.65") == [
        ("I.C.4.a.2", "names the code"),
        ("I.C.4.a", "introduces"),
        ("I.C.4", "introduces"),
        ("I.C.4.a.1", "names a parent"),
        ("I.C.4.a.3", "names a sibling"),
        ("I.C.4.b", "chapter rule"),
    ]


def test_a_range_over_the_code_counts_and_one_over_everything_does_not():
    assert ("I.C.4.a", "names a range") in chosen("E13.9")
    assert "I.C" not in dict(chosen("E13.9"))


def test_a_code_that_nothing_names_gets_its_chapters_rules():
    assert chosen("I95.9") == [("I.C.9", "chapter rule")]


@pytest.mark.parametrize("budget", [0, 5, 12, 20, 30, 40])
def test_the_excerpt_never_costs_more_than_the_budget(budget):
    passages = choose_passages(
        SectionIndex(SECTIONS), Code.parse("E11.65"), max_tokens=budget, count_tokens=count_words
    )
    assert len(join_passages(passages).split()) <= budget


def test_headings_above_stand_once_and_their_text_only_when_chosen():
    passages = choose_passages(SectionIndex(SECTIONS), Code.parse("E11.65"), max_tokens=16, count_tokens=count_words)
    assert join_passages(passages).splitlines() == [
        "4. Chapter 4: Endocrine (E00-E89)",
        "a. Diabetes",
        "Use E08-E13 as needed.",
        "2) Hyperglycemia",
        "Assign E11.65.",
    ]


def test_an_introduction_comes_with_what_it_introduces_or_not_at_all():
    wordy = {**SECTIONS, "I.C.4.a.2": replace(SECTIONS["I.C.4.a.2"], text="Assign E11.65. " * 100)}
    passages = choose_passages(SectionIndex(wordy), Code.parse("E11.65"), max_tokens=15, count_tokens=count_words)
    assert [passage.section.id for passage in passages] == ["I.C.4.a.1"]
    passages = choose_passages(SectionIndex(wordy), Code.parse("E11.65"), max_tokens=19, count_tokens=count_words)
    assert [passage.section.id for passage in passages] == ["I.C.4.a.1", "I.C.4.a"]


def test_knowledge_reads_them_from_a_parsed_year(sample_folder):
    knowledge = Knowledge(sample_folder)
    code = Code.parse("A41.51")
    assert knowledge.choose_passages(code, max_tokens=200)[0].section.id == "I.C.1.a.1"
    assert "Naming the organism" in knowledge.build_excerpt(code, max_tokens=200)
    assert len(knowledge.build_excerpt(code, max_tokens=200)) < len(knowledge.find_guidelines(code))
    assert knowledge.build_excerpt(code, max_tokens=3) is None
    assert Knowledge().build_excerpt(code, max_tokens=200) is None


def test_a_code_that_another_chapters_heading_names_gets_that_chapters_rules():
    heading = replace(SECTIONS["I.C.9"], heading="9. Chapter 9: Heart (I00-I99), U07.0")
    named = replace(heading, codes=tuple(find_codes(heading.heading)))
    passages = choose_passages(SectionIndex({**SECTIONS, "I.C.9": named}), Code.parse("U07.0"), max_tokens=1000)
    assert [(passage.section.id, passage.reason) for passage in passages] == [("I.C.9", "chapter rule")]


def test_an_excerpt_keeps_its_budget_by_the_estimate_of_every_other_part():
    wordy = {key: replace(section, text=section.text * 30) for key, section in SECTIONS.items()}
    excerpt = join_passages(choose_passages(SectionIndex(wordy), Code.parse("E11.65"), max_tokens=1024))
    assert 512 < TokenCounter().count(excerpt) <= 1024


def test_a_code_named_outside_the_chapters_gets_no_rules_from_there():
    general = {
        "I.A": SectionText(20, "I.A", "I", 1, None, "A. Conventions", "", ()),
        "I.A.1": SectionText(21, "I.A.1", "I.A", 2, None, "1. Format", "Indent E66.", tuple(find_codes("Indent E66."))),
        "I.A.2": SectionText(22, "I.A.2", "I.A", 2, None, "2. Brackets", "Use them.", ()),
    }
    passages = choose_passages(SectionIndex({**SECTIONS, **general}), Code.parse("E66.9"), max_tokens=1000)
    assert ("I.A.1", "names a parent") in [(passage.section.id, passage.reason) for passage in passages]
    assert "I.A.2" not in [passage.section.id for passage in passages]
