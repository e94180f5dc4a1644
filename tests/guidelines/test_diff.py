"""What changed between two years: the sample, and the sample with a few edits."""

import json
from pathlib import Path

import pytest

from deepicd.errors import DeepicdError
from guidelines import diff, parse
from guidelines.sample import document

EDITS = [
    ("FY 2025 -- UPDATED October 1, 2024", "FY 2026"),
    ("(October 1, 2024 - September 30, 2025)", "(October 1, 2025 - September 30, 2026)"),
    ("What is over and no longer matters is left out.", "What is over is left out."),  # reworded
    ("#### a. Glaucoma", "#### a. Blindness\nBlindness of both eyes is H54.0-.\n#### b. Glaucoma"),  # added, moved
    ("## C. Doubt\nA diagnosis", "A diagnosis"),  # removed, its text goes to the section before
]


@pytest.fixture(scope="module")
def next_year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = document.read_sample_text()
    for old, new in EDITS:
        assert text.count(old) == 1
        text = text.replace(old, new)
    out = tmp_path_factory.mktemp("next")
    parse.parse_pdf(document.write_sample(out / "next.pdf", text), out)
    return out / "fy2026"


def test_added_removed_moved_and_changed(sample_folder, next_year):
    changes = diff.compare_years(sample_folder, next_year)
    assert (changes.year_before, changes.year_after) == (2025, 2026)
    assert [entry.id for entry in changes.added] == ["I.C.7.a"]
    assert [entry.id for entry in changes.removed] == ["II.C"]
    assert [(change.before, change.after) for change in changes.moved] == [("I.C.7.a", "I.C.7.b")]
    assert [change.after for change in changes.changed] == ["front", "II.B", "III.A"]
    assert changes.unchanged == 86


def test_a_year_does_not_differ_from_itself(sample_folder):
    changes = diff.compare_years(sample_folder, sample_folder)
    assert (changes.added, changes.removed, changes.moved, changes.changed, changes.unchanged) == ([], [], [], [], 91)


@pytest.mark.parametrize("after", ["Code  it\nonce.", "Code it once.", "Code it “once”."])
def test_a_section_with_the_same_words_is_not_reworded(after):
    before = 'Code it "once".' if "“" in after else "Code it once."
    assert not diff.SectionChange("I.A", "I.A", "Title", "Title", before, after).is_reworded
    assert diff.SectionChange("I.A", "I.A", "Title", "Title", "Code it twice.", after).is_reworded


def test_markdown_strikes_removed_words_and_bolds_new_ones(sample_folder, next_year, deepicd):
    result = deepicd("guidelines", "diff", sample_folder, next_year)
    assert result.out.startswith("# ICD-10-CM guidelines: FY2025 → FY2026\n")
    assert "### III.A Earlier conditions\n\nWhat is over ~~and no longer matters~~ is left out.\n" in result.out
    assert "### I.C.7.a → I.C.7.b Glaucoma" in result.out


def test_json_holds_the_same(sample_folder, next_year, deepicd):
    result = deepicd("guidelines", "diff", sample_folder, next_year, "--format", "json")
    changes = json.loads(result.out)
    assert changes["added"] == [
        {"id": "I.C.7.a", "title": "Blindness", "text": "Blindness of both eyes is H54.0-."},
    ]


def test_a_folder_without_a_year_is_refused(sample_folder, tmp_path):
    with pytest.raises(DeepicdError, match="holds no parsed guidelines"):
        diff.compare_years(sample_folder, tmp_path)
