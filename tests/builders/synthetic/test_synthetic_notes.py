"""The notes: template order, what the admission part holds back, what the rest tells."""

import random
import re
from collections.abc import Iterator

import pytest

from builders.synthetic.clinical_case import Stay, build_case
from builders.synthetic.discharge_note import Part, build_note_parts, join_parts
from builders.synthetic.generator_knowledge import Condition, Diagnosis, load_knowledge
from builders.synthetic.note_layout import LAYOUT
from builders.synthetic.unlisted_codes import find_chapter_number
from deepicd.icd10cm import CHAPTERS, Code, load_release

CONDITIONS = {condition.name: condition for condition in load_knowledge().conditions}


def stay(code: str, version: int = 10, seed: int = 0, ages: tuple[int, int] = (40, 80), **changes: object) -> Stay:
    """A stay with a dozen other diagnoses from the pool."""
    rng = random.Random(seed)
    pool = rng.sample(list(load_knowledge().comorbidities.values()), 12)
    fields: dict[str, object] = {
        "subject_id": 10_000_001,
        "hadm_id": 20_000_000 + seed,
        "sex": rng.choice("FM"),
        "age": rng.randint(*ages),
        "admitted": "2150-03-01 14:05:00",
        "discharged": "2150-03-05 11:00:00",
        "days": 4,
        "destination": "HOME",
        "diagnoses": (
            Diagnosis(code, version),
            *(Diagnosis(entry.icd10 if version == 10 else entry.icd9, version) for entry in pool),
        ),
    }
    return Stay(**(fields | changes))  # type: ignore[arg-type]


def parts_of(stay: Stay) -> list[Part]:
    return build_note_parts(build_case(stay, {}, 42))


def text_of(parts: list[Part], *, known: bool) -> str:
    return re.sub(r"\s+", " ", "\n".join(part.text for part in parts if part.known_at_admission == known))


def all_stays(condition: Condition, times: int = 2) -> Iterator[Stay]:
    for version, codes in ((10, condition.codes), (9, condition.icd9)):
        for code in codes:
            for seed in range(times):
                sex = {"sex": condition.sex} if condition.sex else {}
                yield stay(code, version, seed, condition.ages, **sex)


def sample_of_release(n: int) -> list[str]:
    """n billable codes of each chapter (as many as there are) that no knowledge file lists."""
    rng = random.Random(7)
    by_chapter: dict[int, list[str]] = {chapter.number: [] for chapter in CHAPTERS}
    for code in load_release().list_codes():
        if (code.value, 10) in load_knowledge().by_code:
            continue
        by_chapter[code.chapter.number].append(code.value)
    return [code for codes in by_chapter.values() for code in rng.sample(codes, min(n, len(codes)))]


def test_there_are_at_least_70_conditions_over_all_22_chapters():
    assert len(CONDITIONS) == len(load_knowledge().conditions) >= 70  # no name twice
    assert {Code(code).chapter.number for c in CONDITIONS.values() for code in c.codes} == set(range(1, 23))


def test_every_code_of_the_knowledge_files_is_billable():
    codes = [code for c in CONDITIONS.values() for code in c.codes]
    codes += [entry.icd10 for entry in load_knowledge().comorbidities.values()]
    assert [code for code in codes if not Code(code).is_billable] == []


def test_retired_codes_are_in_no_current_release():
    assert [code for c in CONDITIONS.values() for code in c.retired if Code(code).is_billable] == []


def test_every_condition_stands_in_the_chapter_of_its_codes():
    for number, chapter in load_knowledge().chapters.items():
        for condition in chapter.conditions:
            assert {Code(code).chapter.number for code in condition.codes} <= {number}, condition.name


@pytest.mark.parametrize("name", CONDITIONS)
def test_the_admission_part_names_neither_title_nor_code_and_the_rest_does(name):
    condition = CONDITIONS[name]
    for one in all_stays(condition):
        parts = parts_of(one)
        case = build_case(one, {}, 42)
        before, after = text_of(parts, known=True), text_of(parts, known=False)
        assert not condition.revealing.search(before)
        assert case.title.lower() not in before.lower()
        if one.first.version == 10:  # '185' of ICD-9 is also a count of platelets
            assert not {one.first.code, str(Code(one.first.code))} & set(before.split())
        assert condition.name.lower() in after.lower()


def test_the_hospital_course_and_the_discharge_diagnosis_always_name_it():
    for one in all_stays(CONDITIONS["pneumonia"], times=8):
        texts = {part.section: re.sub(r"\s+", " ", part.text.lower()) for part in parts_of(one)}
        title = build_case(one, {}, 42).title.lower()
        assert "pneumonia" in texts["Brief Hospital Course"]
        assert "pneumonia" in texts["Discharge Instructions"]
        assert "pneumonia" in texts["Discharge Diagnosis"] or title in texts["Discharge Diagnosis"]


@pytest.mark.parametrize("code", sample_of_release(5))
def test_any_code_of_the_release_has_a_note_that_holds_its_title_back(code):
    parts = parts_of(stay(code, seed=3))
    title = " ".join(load_release().titles[code].split())
    assert title.lower() not in text_of(parts, known=True).lower()
    assert title.lower() in text_of(parts, known=False).lower()


def test_words_of_a_title_show_as_site_side_and_manner():
    parts = parts_of(stay("S72352A"))  # displaced comminuted fracture of shaft of left femur, initial encounter
    story = next(part.text for part in parts if part.section == "History of Present Illness")
    assert "left thigh" in re.sub(r"\s+", " ", story)
    assert "out of line" in re.sub(r"\s+", " ", story)
    assert "fracture" not in text_of(parts, known=True)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("T402X1A", "Poison control"),  # poisoning, not an injury of some limb
        ("T8579XA", "device"),
        ("C8330", "sweats at night"),
        ("I6000", "EMS found a blood pressure"),
        ("F1123", "has used"),
        ("N800", "Periods come"),
    ],
)
def test_parts_of_a_chapter_that_differ_have_texts_of_their_own(code, words):
    story = "".join(part.text for part in parts_of(stay(code)) if part.section == "History of Present Illness")
    assert words in re.sub(r"\s+", " ", story)


def test_an_unknown_icd9_code_gets_a_note_of_its_chapter():
    parts = parts_of(stay("5188", 9))
    assert find_chapter_number(Diagnosis("5188", 9)) == 10
    assert "Condition coded 5188 in ICD-9-CM" in text_of(parts, known=False)


@pytest.mark.parametrize("seed", range(60))
def test_a_note_follows_the_template_and_holds_each_part_verbatim(seed):
    code = random.Random(seed).choice([code for c in CONDITIONS.values() for code in c.codes])
    parts = parts_of(stay(code, seed=seed))
    places = [LAYOUT.index(part.section) for part in parts]
    assert places == sorted(places)
    text = join_parts(parts, random.Random(seed)).replace("\r\n", "\n")
    assert text.startswith(" \nName:  ___                     Unit No:   ___\n \nAdmission Date:  ___")
    end = 0
    for part in parts:
        end = text.index(part.text, end) + len(part.text)
    assert text.endswith("___\n")


def test_an_ordinary_note_has_the_headers_of_the_template():
    parts = parts_of(stay("J189"))
    plain = random.Random()
    plain.random = lambda: 0.999  # type: ignore[method-assign]  # no variant, nothing lost
    headers = re.findall(r"^([A-Z][A-Za-z ]+): ?$", join_parts(parts, plain), re.MULTILINE)
    assert [header for header in headers if header in LAYOUT] == [
        section for section in dict.fromkeys(part.section for part in parts) if section not in
        ("Name", "Admission Date", "Sex", "Service", "Attending")
    ]  # fmt: skip


def test_the_variants_of_the_template_all_occur():
    texts = [join_parts(parts_of(stay("J189", seed=seed)), random.Random(seed)) for seed in range(500)]
    for words in (
        "\nHPI:\n",
        "\nPMH:\n",
        "\nPE:\n",
        "\nHistory of Present ___:\n",
        "\nPast ___ History:\n",
        "\n___ Hospital Course:\n",
        "\nischarge Diagnosis:\n",
        "\nMedications on ___:\n",
        "ADMISSION PHYSICAL EXAM:\n",
        "\nEXAM ON DISCHARGE (day 4):\n",
        "past medical history:",
        "reports the following:",
        "\n\n# ",
        "\r\n",
    ):
        assert any(words in text for text in texts), words
    assert any("History of Present Illness" not in text and "HPI" not in text for text in texts)


def test_two_notes_of_one_code_differ():
    notes = {join_parts(parts_of(stay("J189", seed=seed)), random.Random(seed)) for seed in range(40)}
    stories = {
        part.text for s in range(40) for part in parts_of(stay("J189", seed=s)) if part.section.startswith("History")
    }
    assert len(notes) == 40
    assert len(stories) >= 39


def test_the_same_stay_has_the_same_note_whatever_was_written_before():
    alone = parts_of(stay("I214", seed=5))
    for seed in range(4):
        parts_of(stay("K3580", seed=seed))
    assert parts_of(stay("I214", seed=5)) == alone


def test_a_death_shows_only_after_admission():
    parts = parts_of(stay("A419", seed=2, destination="DIED"))
    assert "expired" not in text_of(parts, known=True).lower()
    texts = {part.section: part.text for part in parts}
    assert texts["Discharge Disposition"] == "Expired"
    assert texts["Discharge Condition"] == "Deceased"
    assert texts["Physical Exam"].startswith("DEATH EXAM")  # the last part of that section


def test_notes_are_two_to_six_thousand_characters_long():
    lengths = [len(join_parts(parts_of(stay("N179", seed=seed)), random.Random(seed))) for seed in range(50)]
    assert min(lengths) > 2000
    assert max(lengths) < 8000
    assert 3000 < sum(lengths) / 50 < 5000
