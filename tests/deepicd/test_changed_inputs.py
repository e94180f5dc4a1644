"""A stage reads what its record says that it reads: inputs that were changed behind a record's back are refused."""

import json
from collections.abc import Callable
from pathlib import Path

import click
import pyarrow.parquet as pq
import pytest
from cohorts import write_cohort
from conftest import Deepicd

from builders.dataset.assemble import assemble
from deepicd import records, storage
from deepicd.changed_inputs import accept_changes
from deepicd.errors import DeepicdError
from distill.recipe import Recipe
from distill.run import distill

RECIPE = Recipe(name="test", engine="rehearsal", model="none")


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """A cohort and its traces."""
    distill(write_cohort(tmp_path / "cohort", 30), tmp_path / "traces", RECIPE)
    return tmp_path


def edit_a_note(outputs: Path) -> None:
    path = outputs / "cohort" / "test.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["admission_note"] = rows[0]["admission_note"].replace("Gout", "Goat")
    pq.write_table(table.from_pylist(rows, schema=table.schema), path)


def remove_a_split(outputs: Path) -> None:
    (outputs / "cohort" / "validation.parquet").unlink()


def add_traces(outputs: Path) -> None:
    first = next((outputs / "traces").glob("*/kept/*.parquet"))
    first.with_name("more.parquet").write_bytes(first.read_bytes())


def edit_the_record(outputs: Path) -> None:
    path = outputs / "cohort" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"origin": "public"}))


def build_again(outputs: Path) -> None:
    write_cohort(outputs / "cohort", 31)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (edit_a_note, "cohort: changed: test.parquet"),
        (remove_a_split, "cohort: missing: validation.parquet"),
        (add_traces, "traces: not of this run: kept/more.parquet"),
        (edit_the_record, "cohort: its run.json was edited"),
        (build_again, "traces: descends from another cohort than cohort"),
    ],
)
def test_what_changed_between_two_stages_is_refused(change: Callable[[Path], None], what: str, outputs: Path) -> None:
    change(outputs)
    with pytest.raises(DeepicdError) as refusal:
        assemble(outputs / "cohort", outputs / "traces", outputs / "dataset")
    assert f"\n  {what}\n" in str(refusal.value) and "--accept-changes" in str(refusal.value)
    assert not (outputs / "dataset").exists()


def test_an_accepted_change_stands_in_the_record(outputs: Path, deepicd: Deepicd) -> None:
    edit_a_note(outputs)
    command = ("assemble", "--cohort", outputs / "cohort", "--traces", outputs / "traces", outputs / "dataset")
    assert deepicd(*command).code == 1
    assert deepicd(*command, "--accept-changes").code == 0
    record = records.read(outputs / "dataset")
    assert record and record.options["accepted_changes"] == {"cohort": "changed: test.parquet"}
    assert deepicd(*command).code == 1, "the next command accepts nothing"


def test_verify_and_report_have_the_option_and_nothing_else_advises_it(outputs: Path, deepicd: Deepicd) -> None:
    edit_a_note(outputs)
    verification = (
        "verify",
        outputs / "traces",
        outputs / "verified",
        "--recipe",
        "rules",
        "--cohort",
        outputs / "cohort",
    )
    assert "add --accept-changes" in deepicd(*verification).err
    assert "that are not what their records say" not in deepicd(*verification, "--accept-changes").err
    assert deepicd("report", outputs / "traces", outputs / "report").code == 1
    assert deepicd("report", outputs / "traces", outputs / "report", "--accept-changes").code == 0
    with click.Context(click.Command("bundle")), pytest.raises(DeepicdError) as refusal:
        records.plan_run("bundle", options={}, inputs={"cohort": outputs / "cohort"})
    assert "--accept-changes" not in str(refusal.value)


def test_one_hash_per_file_serves_plan_and_comparison(outputs: Path) -> None:
    storage._digest_file.cache_clear()
    with accept_changes():
        records.plan_run(
            "x", options={}, inputs={"cohort": outputs / "cohort", "train": outputs / "cohort/train.parquet"}
        )
    assert storage._digest_file.cache_info().misses == len(storage.list_files(outputs / "cohort"))
