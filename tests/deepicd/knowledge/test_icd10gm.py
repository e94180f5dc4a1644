"""Which GM text a CM code gets, on which level, and what speaks against it. Texts and German titles are made up."""

import re

import pytest

from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code, load_release
from deepicd.knowledge.code_knowledge import Knowledge
from deepicd.knowledge.icd10gm import DIVERGENCES, Crosswalk, find_divergence, read_crosswalk
from deepicd.schema import DESCRIPTIONS


def crosswalk(*codes: str, unknown: tuple[str, ...] = (), **titles: str) -> Crosswalk:
    """A crosswalk with a text for each code, and with the given titles."""
    texts = {code: (titles.get(code), f"Text of {code}.") for code in (*codes, *titles)}
    return Crosswalk(texts, frozenset(unknown))


@pytest.mark.parametrize(
    ("value", "texts", "code", "level", "warning"),
    [
        ("E119", ("E119", "E11"), "E11.9", "exact", "none"),
        ("A0472", ("A047",), "A04.7", "4", "low"),  # C. difficile: CM divides what the WHO does not
        ("I5089", ("I508",), "I50.8", "4", "medium"),  # 'other' is a bag of many things
        ("I5021", ("I50",), "I50", "3", "medium"),  # GM has no I50.2
        ("S42001A", ("S4200", "S420"), "S42.00", "5", "medium"),  # on the checked list
        ("M06211", ("M0621", "M062"), "M06.21", "5", "medium"),  # the fifth character is the site in both
        ("S72001A", ("S7200", "S720"), "S72.0", "4", "low"),
        ("J45901", ("J4590", "J459"), "J45.9", "4", "medium"),  # exacerbation in CM, well controlled in GM
        ("K8301", ("K8301", "K830"), "K83.0", "4", "low"),  # primary in CM, secondary in GM
        ("E1100", ("E110", "E11"), "E11", "3", "medium"),  # E11.0 is with coma in GM
        ("Z720", ("Z720",), "Z72.0", "exact", "medium"),  # tobacco in CM; alcohol, tobacco, drugs in GM
        ("K8020", ("K8020",), "K80.20", "exact", "medium"),
        ("J9601", ("J9601", "J960"), "J96.0", "4", "low"),  # J96.01 is hypoxia in CM, hypercapnia in GM
        ("U071", ("U071",), "U07.1", "exact", "medium"),
        ("S72001S", ("S720",), "S72.0", "4", "medium"),  # a sequela gets the text of the injury
    ],
)
def test_the_nearest_parent_with_the_same_meaning_is_used(value, texts, code, level, warning):
    description = crosswalk(*texts).find_description(Code(value))
    assert (description.code, description.level, description.warning, description.text) == (
        code,
        level,
        warning,
        f"Text of {code.replace('.', '')}.",
    )
    assert bool(description.reasons) == (warning != "none")


@pytest.mark.parametrize(
    ("value", "texts", "why"),
    [
        ("C7A8", ("C7A", "C7A8"), "a category of CM alone"),
        ("O0900", ("O09",), "O09 is another thing in GM"),
        ("B20", ("B20",), "B20 is less in GM"),
        ("J9601", ("J9601",), "no text above the exchanged fifth character"),
        ("M0620", ("M0620",), "0 is 'several places' in GM, none stated in CM"),
        ("L8915", ("L891",), "L89.1 is a place in CM, a stage in GM"),
        ("R6521", ("R652",), "severe sepsis in CM, no infection in GM"),
        ("T360X5A", ("T360",), "an adverse effect is no poisoning"),
        ("W19XXXA", ("W19",), "an external cause"),
        ("U50", ("U50",), "a code for special purposes"),
        ("I10", (), "no text"),
    ],
)
def test_no_text_is_better_than_a_wrong_one(value, texts, why):
    assert crosswalk(*texts).find_description(Code(value)) is None, why


def test_a_poisoning_has_the_text_of_its_drug():
    assert crosswalk("T360").find_description(Code("T360X1A")).code == "T36.0"


def test_a_fifth_character_whose_sisters_gm_lacks_gives_way_to_its_parent_and_else_is_warned_of():
    unknown = ("K8021", "K8018")
    assert crosswalk("K8020", "K802", unknown=unknown).find_description(Code("K8020")).code == "K80.2"
    alone = crosswalk("K8020", unknown=unknown).find_description(Code("K8020"))
    assert (alone.code, alone.warning) == ("K80.20", "high")
    assert "GM lacks 1 of CM's codes beside it" in alone.reasons


@pytest.mark.parametrize(
    ("title", "warning"),
    [
        ("Pneumonie, nicht näher bezeichnet", "none"),
        ("Pneumonia, unspecified", "none"),
        ("Sonstige Pneumonie", "medium"),
        ("Lobärpneumonie", "medium"),
    ],
)
def test_titles_are_compared_by_their_fixed_forms(title, warning):
    assert crosswalk(J189=title).find_description(Code("J189")).warning == warning


@pytest.mark.parametrize(
    ("value", "title"),
    [
        ("N390", "Harnwegsinfektion, Lokalisation nicht näher bezeichnet"),
        ("C229", "Leber, nicht näher bezeichnet"),
    ],
)
def test_not_specified_is_unspecified(value, title):
    assert crosswalk(**{value: title}).find_description(Code(value)).warning == "none"


def test_every_divergence_fits_a_code_and_none_is_hidden_by_an_earlier_one():
    codes = [*map(Code, load_release().titles), Code("U50")]
    assert {entry.pattern for entry in DIVERGENCES} == {
        divergence.pattern for code in codes if (divergence := find_divergence(code))
    }
    assert all(re.compile(entry.pattern) and entry.why for entry in DIVERGENCES)


def test_no_code_of_the_release_gets_the_text_of_another_category_or_of_more_characters():
    titles = load_release().titles
    everything = crosswalk(*(value for value in titles if len(value) <= 5))
    for value in titles:
        if description := everything.find_description(Code(value)):
            assert value.startswith(description.code.replace(".", ""))


def test_a_harvest_is_read_with_its_outcomes(tmp_path):
    path = tmp_path / "descriptions.parquet"
    rows = [
        {"code": "E11.2", "outcome": "described", "title": "Nieren", "text": "Sie haben Zucker."},
        {"code": "E11.21", "outcome": "no text", "title": "Nieren", "text": None},
        {"code": "E11.22", "outcome": "unknown code", "title": None, "text": None},
    ]
    storage.write_parquet(path, [dict.fromkeys(DESCRIPTIONS.names) | row for row in rows], DESCRIPTIONS, "public")
    assert read_crosswalk(path) == Crosswalk({"E112": ("Nieren", "Sie haben Zucker.")}, frozenset({"E1122"}))
    assert Knowledge(None, path).find_description(Code("E1122")).code == "E11.2"


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "descriptions.parquet").write_text("no table")
    with pytest.raises(DeepicdError, match="not a parquet file"):
        read_crosswalk(tmp_path / "descriptions.parquet")
