"""Headers that no list holds: their text is cut and counted, and a user can say what they are."""

import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Deepicd
from copies import discharge, note, stay, write_copy

from builders.cohort.build import build
from builders.cohort.criteria import DEFAULT, Criteria
from builders.cohort.headers import read_headers
from builders.cohort.sections import extract_admission_sections
from builders.cohort.unknown_headers import UnknownHeader
from deepicd import storage
from deepicd.errors import DeepicdError

START = " \nHistory of Present Illness:\nFever.\n \nPhysical Exam:\nT 101\n"
ABOVE = {"History of Present Illness": "Fever.", "Physical Exam": "T 101"}
PROSE = [
    "She reports the following:",
    "In the ED, initial vitals were:",
    "Neurologic: no weakness.",
    "Per her daughter: confused since noon.",
    "Timeline: first the rash, then fever.",
]  # fmt: skip


@pytest.mark.parametrize(
    "header",
    [
        "Zebra Protocol", "Weight at discharge", "Oncologic course", "Family meeting", "Swallow evaluation",
        "INTERVENTIONS", "Events overnight", "Infusions", "Course complicated by", "___ consult",
    ],
)  # fmt: skip
@pytest.mark.parametrize("above", [" \n", "\n"], ids=["separator", "empty line"])
def test_a_header_that_the_template_does_not_know_ends_the_section_above(header: str, above: str) -> None:
    assert extract_admission_sections(f"{START}{above}{header}:\nLEAK\n \nDischarge Condition:\nLEAK\n") == ABOVE


@pytest.mark.parametrize("line", PROSE)
def test_prose_with_a_colon_stays_prose(line: str) -> None:
    text = f" \nChief Complaint:\nRash\n \nHistory of Present Illness:\nSince Monday.\n\n{line}\nIt itches.\n"
    found = extract_admission_sections(text)
    assert found["History of Present Illness"] == f"Since Monday.\n\n{line}\nIt itches."


def test_an_unknown_line_between_those_of_an_exam_is_cut_alone() -> None:
    text = "Physical Exam:\nGEN: pale\nQuorum pass: LEAK\nLEAK\nLUNGS: clear\n"
    assert extract_admission_sections(text) == {"Physical Exam": "GEN: pale\nLUNGS: clear"}


def test_names_of_diseases_and_drugs_in_lists_open_nothing() -> None:
    text = (
        "PMH:\nGout: on allopurinol\nCAD: stent in ___\n\nAllergies:\nPenicillin: rash\n\n"
        "Home Medications:\nAspirin: 81 mg\n"
    )
    assert extract_admission_sections(text) == {
        "Allergies": "Penicillin: rash",
        "Past Medical History": "Gout: on allopurinol\nCAD: stent in ___",
        "Medications on Admission": "Aspirin: 81 mg",
    }


def test_unknown_headers_are_counted_with_their_place_and_what_became_of_them() -> None:
    unknown = Counter[UnknownHeader]()
    text = f"{START} \nZebra Protocol:\nLEAK\n \nPast Medical History:\nGout\nOdd Label: yes\n"
    extract_admission_sections(text, DEFAULT, unknown)
    assert unknown == {
        UnknownHeader("zebra protocol", "Physical Exam", is_kept=False): 1,
        UnknownHeader("odd label", "Past Medical History", is_kept=True): 1,
    }


@pytest.mark.parametrize(
    ("section", "found"),
    [
        ("Past Medical History", {**ABOVE, "Past Medical History": "Striped."}),
        ("text", {**ABOVE, "Physical Exam": "T 101\n \nZebra Protocol:\nStriped."}),
        ("Brief Hospital Course", ABOVE),
    ],
)
def test_a_user_says_what_a_header_opens(section: str, found: dict[str, str]) -> None:
    criteria = Criteria(headers=read_headers([f"ZEBRA protocol={section}"]))
    text = f"{START} \nZebra Protocol:\nStriped.\n"
    sections = extract_admission_sections(text, criteria)
    assert {name: value.replace("\n\n", "\n \n") for name, value in sections.items()} == found


def test_headers_of_a_file_and_of_the_command_line_are_joined(tmp_path: Path) -> None:
    file = tmp_path / "headers.yaml"
    file.write_text("Zebra Protocol: Physical Exam\nQuorum: text\n")
    assert read_headers(["Quorum=Pertinent Results"], file) == (
        ("quorum", "Pertinent Results"),
        ("zebra protocol", "Physical Exam"),
    )


@pytest.mark.parametrize("pair", ["Zebra", "Zebra=Nowhere", "=Physical Exam"])
def test_a_header_without_a_section_is_refused(pair: str) -> None:
    with pytest.raises(DeepicdError, match="does not say which section") as error:
        read_headers([pair])
    assert "Physical Exam" in (error.value.advice or "")


@pytest.mark.parametrize("text", ["- Zebra", "Zebra: [", "Zebra: Nowhere"])
def test_a_file_of_headers_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "headers.yaml").write_text(text)
    with pytest.raises(DeepicdError):
        read_headers([], tmp_path / "headers.yaml")


def copy_with_unknown_header(tmp_path: Path) -> Path:
    text = note().replace("Pertinent Results:", "Zebra Protocol:")
    assert "Zebra" in text
    rows = [row for n in range(1, 3) for row in stay(20000000 + n, [(1, "I214")])]
    return write_copy(tmp_path / "copy", rows, [discharge(20000000 + n, text) for n in range(1, 3)])


def test_build_lists_them_and_what_a_user_says_is_part_of_its_options(tmp_path: Path) -> None:
    copy = copy_with_unknown_header(tmp_path)
    record = build(copy, copy, tmp_path / "out")
    assert pq.read_table(tmp_path / "out" / "headers.parquet").to_pylist() == [
        {"header": "zebra protocol", "place": "Discharge Exam", "times_seen": 2, "outcome": "cut"}
    ]
    assert storage.read_origin(tmp_path / "out" / "headers.parquet") == "mimic"
    assert record.counts.unknown_headers.model_dump() == {"cut": 1, "times_cut": 2, "kept": 0, "times_kept": 0}
    told = build(
        copy, copy, tmp_path / "told", DEFAULT.replace(headers=read_headers(["Zebra Protocol=Pertinent Results"]))
    )
    assert told.options["headers"] == [["zebra protocol", "Pertinent Results"]]
    assert told.counts.unknown_headers.cut == 0
    with pytest.raises(DeepicdError):  # another output than that of `out`
        build(copy, copy, tmp_path / "out", DEFAULT.replace(headers=(("zebra protocol", "text"),)))


def test_the_summary_has_a_line_with_counts_and_no_header(tmp_path: Path, deepicd: Deepicd) -> None:
    copy = copy_with_unknown_header(tmp_path)
    done = deepicd("build", "--mimic", copy, "--notes", copy, tmp_path / "out")
    assert done.code == 0
    assert "Unknown headers: 1 with their text cut (2 times)" in done.out
    assert "ebra" not in done.out + done.err


def test_a_note_whose_history_only_points_elsewhere_is_excluded_under_its_own_reason(tmp_path: Path) -> None:
    texts = [
        "HISTORY OF PRESENT ILLNESS:  As dictated by Dr. ___.\n\nHOSPITAL COURSE:  Antibiotics.\n",
        "HPI:\nPlease see the admission note for details.\n",
        "HPI:\nAs described above by his wife, he fell from a ladder.\n",
    ]
    rows = [row for n in range(3) for row in stay(20000000 + n, [(1, "I214")])]
    copy = write_copy(tmp_path / "copy", rows, [discharge(20000000 + n, text) for n, text in enumerate(texts)])
    record = build(copy, copy, tmp_path / "out")
    assert [step.lost for step in record.counts.funnel.steps if step.lost] == [{"only a reference": 2}]


KINDS = {
    "alternating headers": "Physical Exam:\nHR 110\n \nPrimary Diagnosis: x\nLabs: Na 1\n \nHome Medications:\n1. A\n",
    "unknown lines of an exam": "Physical Exam:\nGEN: a\nFoo bar: x\nBar: y\n",
    "ambiguous lines of a history": "HPI:\nShe fell.\nPrimary diagnosis: cancer\nLabs: 1\nExam: pale\nMeds: saline\n",
    "capitals": "HISTORY OF PRESENT ILLNESS:  Cough.\n\nODD DATA:  x\n\nHOSPITAL COURSE: y\n\n",
    "headers inside lines": "x. PAST MEDICAL HISTORY: Gout. FOO BAR: x; ",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_work_grows_with_the_length_of_a_note_and_no_faster(kind: str) -> None:
    def count_calls(times: int) -> int:
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        sys.setprofile(count)
        try:
            extract_admission_sections(KINDS[kind] * times)
        finally:
            sys.setprofile(None)
        return calls

    count_calls(10)  # labels are classified once
    assert count_calls(400) < 2.2 * count_calls(200)
