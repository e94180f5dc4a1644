"""A bundle without notes becomes the dataset again, byte for byte, or says what differs; it never names a row."""

import csv
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from cohorts import rows_in
from conftest import Deepicd
from copies import discharge, note, stay, write_copy

from builders.cohort.build import build
from builders.cohort.criteria import DEFAULT, Criteria
from builders.dataset.assemble import assemble
from builders.dataset.rehydrate import rehydrate
from cards.bundle import write_bundle
from cards.dataset_card import write_card
from cards.reading_room.folders import find_holdings
from deepicd import records
from deepicd.changed_inputs import find_other_cohorts
from deepicd.errors import DeepicdError
from distill import run
from distill.recipe import Recipe
from distill.verification.recipe import load_recipe
from distill.verification.run import VerifyJob, verify

STAYS = [20_000_001 + number for number in range(24)]
ONE_ATTEMPT = Recipe(name="once", engine="rehearsal", model="none", attempts=1)
ILLNESS = "___ woman who coughs since {} days. She was pale and sweating. Pressure for two hours, and it woke her."


def copy(root: Path, stays: Sequence[int] = STAYS, **changed: dict[int, str]) -> Path:
    """A copy with a note and a code a stay; `codes` and `notes` give some of them others."""
    codes, notes = changed.get("codes", {}), changed.get("notes", {})
    diagnoses = [row for one in stays for row in stay(one, [(1, codes.get(one, "I214"))])]
    texts = {one: notes.get(one, note(illness=ILLNESS.format(one % 100))) for one in stays}
    return write_copy(root, diagnoses, [discharge(one, text) for one, text in texts.items()])


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dataset/, bundle/ and the copy that they were made of."""
    folder = tmp_path_factory.mktemp("rehydrated")
    make(folder, copy(folder / "mimic"), DEFAULT)
    return folder


def make(folder: Path, mimic: Path, criteria: Criteria) -> None:
    build(mimic, mimic, folder / "cohort", criteria)
    run.distill(folder / "cohort", folder / "traces", ONE_ATTEMPT, rehearse=True)
    assemble(folder / "cohort", folder / "traces", folder / "dataset")
    write_bundle(folder / "dataset", folder / "bundle", notes=False)


def assert_identical(one: Path, other: Path) -> None:
    files = sorted(path.relative_to(one) for path in one.rglob("*.parquet"))
    assert files == sorted(path.relative_to(other) for path in other.rglob("*.parquet"))
    assert len(files) >= 6
    assert [name for name in files if (one / name).read_bytes() != (other / name).read_bytes()] == []


def test_the_dataset_comes_back_byte_for_byte_on_another_machine(
    outputs: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    shutil.copytree(outputs / "bundle", tmp_path / "bundle")  # nothing else of the first machine is there
    mimic = copy(tmp_path / "mimic")
    done = deepicd("rehydrate", tmp_path / "bundle", tmp_path / "out", "--mimic", mimic, "--notes", mimic)
    assert done.code == 0, done.err
    assert "all 9 files are byte-identical to the original" in done.out
    assert_identical(outputs / "dataset", tmp_path / "out")
    again = deepicd("rehydrate", tmp_path / "bundle", tmp_path / "out", "--mimic", mimic, "--notes", mimic)
    assert again.code == 0


def test_so_do_datasets_of_other_options(tmp_path: Path) -> None:
    mimic = copy(tmp_path / "mimic")
    make(tmp_path, mimic, DEFAULT.replace(strict=True, split="stratified", seed=7, min_words=20))
    rehydrate(tmp_path / "bundle", tmp_path / "out", mimic, mimic)
    assert_identical(tmp_path / "dataset", tmp_path / "out")


def test_a_dataset_that_came_back_has_the_same_card(outputs: Path, tmp_path: Path) -> None:
    rehydrate(outputs / "bundle", tmp_path / "out", outputs / "mimic", outputs / "mimic")
    write_card(outputs / "dataset")
    write_card(tmp_path / "out")
    assert (tmp_path / "out" / "README.md").read_text() == (outputs / "dataset" / "README.md").read_text()


@pytest.mark.parametrize("is_rehydrated", [True, False])
def test_what_others_received_is_of_the_cohort_that_it_was_made_from(
    outputs: Path, tmp_path: Path, deepicd: Deepicd, *, is_rehydrated: bool
) -> None:
    received, cohort, traces = tmp_path / "received", outputs / "cohort", outputs / "traces"
    if is_rehydrated:
        rehydrate(outputs / "bundle", received, outputs / "mimic", outputs / "mimic")
    else:
        write_bundle(outputs / "dataset", received)
    assert records.require(received, "assemble" if is_rehydrated else "bundle").origin == "mimic"
    evaluated = deepicd(
        *("evaluate", "--baseline", "majority", "--dataset", received, "--subgroups", cohort, tmp_path / "scores")
    )
    assert evaluated.code == 0, evaluated.err
    assert "subgroups_test" in records.require(tmp_path / "scores", "evaluate").inputs
    verify(VerifyJob(traces, tmp_path / "checked", load_recipe(Path("rules"))))
    [checked] = (tmp_path / "checked").glob("*/run.json")
    plan = {"cohort": cohort, "hints": checked.parent, "dataset": received}
    assert find_other_cohorts({role: record for role, path in plan.items() if (record := records.read(path))}) == {}
    holdings = find_holdings(tmp_path, cohort)
    assert (len(holdings.datasets), len(holdings.evaluations), len(holdings.verified)) == (int(is_rehydrated), 1, 1)


def test_a_dataset_that_came_back_is_reported_without_its_traces(
    outputs: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    rehydrate(outputs / "bundle", tmp_path / "out", outputs / "mimic", outputs / "mimic")
    done = deepicd("report", tmp_path / "out", tmp_path / "report")
    assert done.code == 0, done.err
    pages = [page.read_text() for page in (tmp_path / "report" / "row").glob("*.html")]
    kept = sum(len(rows_in(path)) for path in [tmp_path / "out" / "traces"])
    assert len(pages) == len(STAYS)
    assert sum('<span class="verdict kept">kept</span>' in page for page in pages) == kept > 0


def differing(tmp_path: Path) -> Path:
    """A copy in which one note is gone, one has another text, one stay another first code and one is ICD-9."""
    mimic = copy(tmp_path / "mimic", STAYS[1:], codes={STAYS[2]: "J189"}, notes={STAYS[1]: note(illness="He fell.")})
    diagnoses = mimic / "hosp" / "diagnoses_icd.csv.gz"
    diagnoses.unlink()
    rows = [row for one in STAYS[1:] for row in stay(one, [(1, "I214")], version=9 if one == STAYS[3] else 10)]
    rows = [row | ({"icd_code": "J189"} if row["hadm_id"] == STAYS[2] else {}) for row in rows]
    rows = [row | ({"icd_code": "4280"} if row["hadm_id"] == STAYS[3] else {}) for row in rows]
    return write_copy(mimic, rows, [discharge(one, text_of(one)) for one in STAYS[1:]])


def text_of(one: int) -> str:
    return note(illness="He fell.") if one == STAYS[1] else note(illness=ILLNESS.format(one % 100))


def test_rows_that_differ_are_counted_by_reason_and_listed_in_a_file_alone(
    outputs: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    mimic = differing(tmp_path)
    done = deepicd("rehydrate", outputs / "bundle", tmp_path / "out", "--mimic", mimic, "--notes", mimic)
    assert done.code == 1
    assert "4 of 24 rows cannot be restored from this copy" in done.err
    for reason in ("1 no such note", "1 another text", "1 another first diagnosis", "1 not ICD-10"):
        assert reason in done.err
    assert re.search(r"made from other files of admissions, .*discharge: another release", done.err)
    assert not re.search(r"\d{8}|He fell", done.out + done.err)
    assert not (tmp_path / "out").exists()
    with (tmp_path / "out.differences.csv").open() as file:
        assert {row["note_id"]: row["why"] for row in csv.DictReader(file)} == {
            "10000001-DS-1": "no such note",
            "10000002-DS-1": "another text",
            "10000003-DS-1": "another first diagnosis",
            "10000004-DS-1": "not ICD-10",
        }


def test_the_rows_that_can_be_had_back_are_written_if_asked_for(outputs: Path, tmp_path: Path) -> None:
    mimic = differing(tmp_path)
    record = rehydrate(outputs / "bundle", tmp_path / "out", mimic, mimic, partial=True)
    assert sum(record.counts.rows["grpo"].values()) == 20
    assert "4 rows could not be restored and are left out" in record.notes[0]
    before = {row["extra_info"]["note_id"]: row["extra_info"]["note"] for row in rows_in(outputs / "dataset" / "grpo")}
    after = {row["extra_info"]["note_id"]: row["extra_info"]["note"] for row in rows_in(tmp_path / "out" / "grpo")}
    assert after.items() < before.items()
    write_card(tmp_path / "out")


def test_the_list_of_an_earlier_try_goes_with_a_whole_copy(outputs: Path, tmp_path: Path) -> None:
    with pytest.raises(DeepicdError):
        rehydrate(outputs / "bundle", tmp_path / "out", *[differing(tmp_path)] * 2)
    rehydrate(outputs / "bundle", tmp_path / "out", outputs / "mimic", outputs / "mimic")
    assert not (tmp_path / "out.differences.csv").exists()


def test_a_damaged_bundle_is_refused_with_the_files_that_are_not_whole(outputs: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(outputs / "bundle", bundle)
    rows = bundle / "rows" / "train.parquet"
    rows.write_bytes(rows.read_bytes()[:-1])
    with pytest.raises(DeepicdError, match=r"1 of \d+ files .* are missing or changed; changed: rows/train.parquet"):
        rehydrate(bundle, tmp_path / "out", outputs / "mimic", outputs / "mimic")
    with pytest.raises(DeepicdError, match=r"is not a bundle"):
        rehydrate(outputs / "dataset", tmp_path / "out", outputs / "mimic", outputs / "mimic")


def test_a_bundle_with_notes_needs_no_copy(outputs: Path, tmp_path: Path) -> None:
    write_bundle(outputs / "dataset", tmp_path / "bundle")
    with pytest.raises(DeepicdError, match="has its notes"):
        rehydrate(tmp_path / "bundle", tmp_path / "out", outputs / "mimic", outputs / "mimic")
