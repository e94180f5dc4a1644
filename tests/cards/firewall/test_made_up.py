"""Only what a chain of digests proves is made up is free; labels, folders and edited records prove nothing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cohorts import NOTE, write_cohort, write_dataset
from conftest import Deepicd

from cards.dataset_card import write_card
from cards.firewall.check import PASSAGE, Report, check_path
from cards.firewall.made_up import Prover
from deepicd import records, storage, synthetic_proof
from deepicd.errors import DeepicdError
from deepicd.schema import COHORT

TEXT = "Fell from a ladder while picking cherries and lay there until the neighbour's dog barked for help."
ROWS = "rows of credentialed records, or of records whose origin is unknown"


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up dataset with its card, its cohort beside it."""
    folder = tmp_path_factory.mktemp("made") / "made"
    write_card(write_dataset(folder, 40))
    return folder


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort that counts as credentialed."""
    return write_cohort(tmp_path_factory.mktemp("real") / "cohort", 30, "mimic", notes=[TEXT] * 5)


def reasons(report: Report) -> dict[str, str]:
    return {finding.name: finding.reason for finding in report.findings} | dict.fromkeys(
        report.unchecked, "not checked"
    )


def test_a_made_up_dataset_with_its_card_and_record_is_free(made_up: Path) -> None:
    for folder in ("cohort", "dataset"):
        report = check_path(made_up / folder)
        assert report.may_leave and set(report.origins) == {"synthetic"}, reasons(report)


def join_tables(made_up: Path, real: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(made_up), pq.read_table(real)])


def borrow_schema(made_up: Path, real: Path) -> pa.Table:
    return pa.Table.from_pylist(pq.read_table(real).to_pylist(), schema=pq.read_schema(made_up))


@pytest.mark.parametrize("mix", [join_tables, borrow_schema])
@pytest.mark.parametrize("place", ["apart.parquet", "cohort/validation.parquet", "cohort/more.parquet"])
def test_real_rows_behind_a_made_up_label_are_refused(
    mix: Callable[[Path, Path], pa.Table], place: str, made_up: Path, real: Path, tmp_path: Path
) -> None:
    shutil.copytree(made_up / "cohort", tmp_path / "cohort")
    table = mix(made_up / "cohort" / "train.parquet", real / "train.parquet")
    assert table.schema.metadata[storage.ORIGIN_KEY] == b"synthetic"
    pq.write_table(table, tmp_path / place)
    assert reasons(check_path(tmp_path / place)) == {Path(place).name: ROWS}


@pytest.mark.parametrize("name", ["notes.csv", "scratch/deep/notes.txt", "card/notes.md", ".hidden.md"])
def test_a_text_laid_into_a_made_up_folder_is_read_and_compared(
    name: str, made_up: Path, real: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(made_up / "dataset", tmp_path / "dataset"))
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text(TEXT)
    assert reasons(check_path(out)) == {name: "not checked"}
    assert reasons(check_path(out, notes_from=real)) == {name: PASSAGE}


@pytest.mark.parametrize("name", ["README.md", "card/statistics.json"])
def test_a_text_pasted_into_what_a_made_up_run_wrote_is_read(
    name: str, made_up: Path, real: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(made_up / "dataset", tmp_path / "dataset"))
    with (out / name).open("a") as file:
        file.write(TEXT)
    assert reasons(check_path(out / name)) == {Path(name).name: "not checked"}
    assert reasons(check_path(out / name, notes_from=real)) == {Path(name).name: PASSAGE}


def test_a_ledger_that_calls_itself_made_up_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"origin": "synthetic"}\n' + json.dumps({"text": TEXT}))
    assert [finding.reason[:8] for finding in check_path(tmp_path).findings] == ["a ledger"]


def relabel(made_up: dict[str, Any], real: dict[str, Any], digest: str) -> dict[str, Any]:
    return real | {"origin": "synthetic"}


def list_another_file(made_up: dict[str, Any], real: dict[str, Any], digest: str) -> dict[str, Any]:
    return made_up | {"outputs": made_up["outputs"] | {"a.csv": {"bytes": len(TEXT), "sha256": digest}}}


def drop_the_checksum(made_up: dict[str, Any], real: dict[str, Any], digest: str) -> dict[str, Any]:
    changed = list_another_file(made_up, real, digest)
    return {name: value for name, value in changed.items() if name != "checksum"}


def write_a_source(made_up: dict[str, Any], real: dict[str, Any], digest: str) -> dict[str, Any]:
    return list_another_file(made_up, real, digest) | {"command": "scrape", "inputs": {}, "lineage": {}}


@pytest.mark.parametrize("forge", [relabel, list_another_file, drop_the_checksum, write_a_source])
def test_a_forged_record_proves_nothing(
    forge: Callable[..., dict[str, Any]], made_up: Path, real: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text(TEXT)
    values = [storage.read_json(folder / "run.json") for folder in (made_up / "cohort", real)]
    storage.write_json(tmp_path / "run.json", forge(*values, storage.digest_path(tmp_path / "a.csv")))
    assert set(reasons(check_path(tmp_path))) == {"a.csv", "run.json"}


def test_a_note_pasted_into_a_record_makes_it_a_text_like_any_other(made_up: Path, real: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(made_up / "cohort", tmp_path / "cohort"))
    storage.write_json(out / "run.json", storage.read_json(out / "run.json") | {"notes": [TEXT]})
    assert reasons(check_path(out, notes_from=real))["run.json"] == PASSAGE


def chain(folder: Path) -> Path:
    """A copy with its mark, and a run that read it and made a run of its own from that."""
    notes = folder / "copy" / "note" / "discharge.csv.gz"
    notes.parent.mkdir(parents=True)
    notes.write_bytes(b"made up, like all of this")
    synthetic_proof.write_mark(folder / "copy", [notes], generator="1", seed=3)
    for name, inputs in (("first", {"discharge": notes}), ("second", {"cohort": folder / "first"})):
        plan = records.plan_run("build" if name == "first" else "assemble", options={}, inputs=inputs)
        with records.open_fresh_folder(folder / name, plan, "synthetic") as run:
            storage.write_parquet(run.folder / "rows.parquet", [], COHORT, "synthetic")
    return folder / "second" / "rows.parquet"


def change_the_copy(folder: Path) -> None:
    (folder / "copy" / "note" / "discharge.csv.gz").write_bytes(b"somebody's real notes ----")


def remove_the_mark(folder: Path) -> None:
    (folder / "copy" / synthetic_proof.MARK).unlink()


def change_the_label_of_the_mark(folder: Path) -> None:
    mark = folder / "copy" / synthetic_proof.MARK
    storage.write_json(mark, storage.read_json(mark) | {"comment": TEXT})


@pytest.mark.parametrize("harm", [change_the_copy, remove_the_mark, change_the_label_of_the_mark])
def test_a_chain_that_does_not_reach_a_made_up_copy_proves_nothing(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    rows = chain(tmp_path)
    assert Prover().prove_file(rows) == "synthetic"
    harm(tmp_path)
    assert Prover().prove_file(rows) is None


def test_a_chain_holds_where_everything_was_moved_and_where_a_stage_between_was_removed(tmp_path: Path) -> None:
    rows = chain(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    moved = tmp_path / "there" / "second" / rows.name
    assert Prover().prove_file(moved) == "synthetic"
    shutil.rmtree(tmp_path / "there" / "first")
    assert Prover().prove_file(moved) == "synthetic"
    shutil.rmtree(tmp_path / "there" / "copy")
    assert Prover().prove_file(moved) is None


def test_without_notes_a_text_that_is_not_proven_is_not_checked(deepicd: Deepicd, real: Path, tmp_path: Path) -> None:
    (tmp_path / "mail.txt").write_text("Nothing in it.")
    outcome = deepicd("check-disclosure", tmp_path)
    assert outcome.code == 1
    assert "Not checked: 1 file not" in outcome.out and "--notes-from DIR" in outcome.out
    with pytest.raises(DeepicdError, match=r"^1 of 1 file could not be checked, mail\.txt among them"):
        check_path(tmp_path).refuse()
    assert deepicd("check-disclosure", tmp_path, "--notes-from", real).code == 0


def test_the_notes_of_the_run_that_a_file_belongs_to_are_found(tmp_path: Path) -> None:
    out = write_dataset(tmp_path, 30, "mimic")
    card = write_card(out)
    assert card.origin == "mimic" and check_path(out / "README.md").may_leave
    for place in (out / "README.md", out / "card" / "more.md"):
        place.write_text(NOTE)
        assert {finding.reason for finding in check_path(place).findings} == {PASSAGE}
    plan = records.plan_run("evaluate", options={}, inputs={"dataset": out / "sft"})
    with records.open_fresh_folder(tmp_path / "evaluation", plan, "mimic") as run:
        storage.write_text(run.folder / "fine.txt", "fine")
    storage.write_text(tmp_path / "evaluation" / "mail.md", NOTE)
    assert {finding.reason for finding in check_path(tmp_path / "evaluation" / "mail.md").findings} == {PASSAGE}


def write_report(folder: Path, source: Path) -> Path:
    """A text beside the output of a run that has read `source`."""
    plan = records.plan_run("evaluate", options={}, inputs={"dataset": source})
    with records.open_fresh_folder(folder, plan, "mimic") as run:
        storage.write_text(run.folder / "fine.txt", "fine")
    storage.write_text(folder / "mail.md", NOTE)
    return folder / "mail.md"


def test_notes_are_found_over_several_runs_and_in_the_cohort_of_the_lineage(tmp_path: Path, deepicd: Deepicd) -> None:
    out = write_dataset(tmp_path, 37, "mimic")  # no other test has these rows, in folders near this one
    second = write_report(
        tmp_path / "deep" / "second", write_report(tmp_path / "first", out / "sft").with_name("fine.txt")
    )
    assert f"Compared with the notes in {out}" in deepicd("check-disclosure", second).out
    out.rename(tmp_path / "moved")
    outcome = deepicd("check-disclosure", second)
    assert outcome.code == 1 and f"Compared with the notes in {tmp_path / 'cohort'}" in outcome.out
    write_cohort(tmp_path / "cohort", 31, "mimic")
    assert reasons(check_path(second)) == {"mail.md": "not checked"}
