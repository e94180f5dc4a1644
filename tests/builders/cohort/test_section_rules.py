"""Each row of the table of ambiguous headers decides its example, and is needed for it."""

import pytest

from builders.cohort import note_headers, section_rules, sections
from builders.cohort.headers import ORDER, load_template
from builders.cohort.section_rules import RULES, Place, Rule, find_rule
from deepicd.errors import DeepicdError


def decide(note: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Rule | None]]:
    """The ambiguous headers of a note, each with the rule that decides it."""
    decisions = []

    def record(place: Place) -> Rule | None:
        rule = find_rule(place)
        decisions.append((place.words, rule))
        return rule

    monkeypatch.setattr(note_headers, "find_rule", record)
    sections.split_sections(note)
    return decisions


@pytest.mark.parametrize("row", range(len(RULES)), ids=lambda row: f"{row}: {RULES[row].sections[0]}")
def test_a_rule_decides_its_example_and_without_it_the_note_reads_differently(row, monkeypatch):
    rule = RULES[row]
    words, deciding = decide(rule.example, monkeypatch)[-1]
    assert deciding is rule
    found = sections.split_sections(rule.example)
    begin = rule.example.casefold().rindex(f"{words}:")
    if rule.opens is None:
        line = rule.example[begin:].splitlines()[0]
        assert any(line in text for _, text in found)
    else:
        text = rule.example[begin:].partition("\n \n")[0].partition(":")[2].strip()
        assert (rule.opens, text) in found
    others = {name: tuple(other for other in of if other is not rule) for name, of in section_rules._RULES_OF.items()}
    monkeypatch.setattr(section_rules, "_RULES_OF", others)
    assert sections.split_sections(rule.example) != found


def test_rules_name_sections_of_the_template():
    assert {name for rule in RULES for name in (*rule.sections, rule.opens) if name} <= ORDER.keys()
    assert {name for rule in RULES for name in rule.sections} == section_rules.AMBIGUOUS


@pytest.mark.parametrize(
    "text",
    [
        "fragments: {}\nsections: [{name: Sex, known: true, forms: ['Sex(']}]",
        "fragments: {}\nsections: [{name: Sex, known: perhaps, forms: [Sex]}]",
        "fragments: {}\nsections: [{name: Sex, forms: [Sex]}]",
        "fragments: {}\nsections: [{name: Sex, known: true, forms: []}]",
        "fragments: {}\nsections: [{name: Sex, known: true, forms: ['[[S]ex']}]",
        "fragments: {}\nsections: [{name: Sex, known: true, forms: [Sex]}, {name: Sex, known: true, forms: [S]}]",
        "[Sex]",
        "sections: [",
    ],
    ids=["pattern", "not a boolean", "no field", "no form", "odd pattern", "twice", "no mapping", "no YAML"],
)
def test_a_template_that_is_none_is_an_error_that_names_the_file(text, tmp_path):
    (tmp_path / "headers.yaml").write_text(text)
    with pytest.raises(DeepicdError, match=r"headers\.yaml"):
        load_template(tmp_path / "headers.yaml")
