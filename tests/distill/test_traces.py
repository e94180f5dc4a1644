"""Distillation: every row of the cohort ends in one of two files, once, whatever happens on the way."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cohorts import rows_in, write_cohort

from deepicd import runs, store
from deepicd.errors import DeepicdError
from deepicd.schema import DESCRIPTIONS
from distill import traces
from distill.recipe import Recipe

RECIPE = Recipe("test", "rehearsal", "none")


def test_every_row_is_kept_or_rejected_once_and_says_who_wrote_it(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort")
    record = traces.distill(cohort, tmp_path / "out", RECIPE)
    folder = tmp_path / "out" / RECIPE.digest
    kept, rejected = rows_in(folder / "kept"), rows_in(folder / "rejected")
    wanted = sorted(row["note_id"] for row in rows_in(cohort))
    assert sorted(row["note_id"] for row in kept + rejected) == wanted
    assert {row["engine"] for row in kept + rejected} == {"rehearsal"}
    assert all(row["trace"] and not row["rejected_for"] for row in kept)
    assert all(row["completion"] and row["rejected_for"] for row in rejected)
    assert set(record["counts"]["reasons"]) == {"form", "cut off", "wrong code"}  # the faults made on purpose
    assert sum(record["counts"]["kept"].values()) == len(kept)
    assert record["counts"]["without_description"] == len(wanted)


def test_a_trace_quotes_the_note_and_names_the_diagnosis_last(tmp_path: Path) -> None:
    traces.distill(write_cohort(tmp_path / "cohort", 50), tmp_path / "out", RECIPE)
    for row in rows_in(tmp_path / "out" / RECIPE.digest / "kept"):
        assert "“Chest pain”" in row["trace"]
        assert row["trace"].index("Non-ST elevation (NSTEMI) myocardial infarction") > 0.8 * len(row["trace"])
        assert "I214" not in row["trace"]


def test_the_same_recipe_gives_the_same_bytes_and_another_its_own_folder(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort")
    outputs = [
        {name: entry["sha256"] for name, entry in traces.distill(cohort, tmp_path / out, RECIPE)["outputs"].items()}
        for out in ("one", "two")
    ]
    assert outputs[0] == outputs[1]
    other = RECIPE.but(seed=7)
    traces.distill(cohort, tmp_path / "one", other)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted([RECIPE.digest, other.digest])


def test_a_finished_run_is_not_repeated(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort")
    first = traces.distill(cohort, tmp_path / "out", RECIPE)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert traces.distill(cohort, tmp_path / "out", RECIPE) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_traces_of_another_cohort_are_not_written_over_unless_asked(tmp_path: Path) -> None:
    write_cohort(tmp_path / "cohort", 300)
    traces.distill(tmp_path / "cohort", tmp_path / "out", RECIPE)
    folder = tmp_path / "out" / RECIPE.digest
    first_shard = folder / "kept" / "train-00000.parquet"
    before = first_shard.read_bytes()
    write_cohort(tmp_path / "cohort", 200)  # the same first rows, fewer of them
    with pytest.raises(DeepicdError, match="made from another cohort"):
        traces.distill(tmp_path / "cohort", tmp_path / "out", RECIPE)
    assert first_shard.read_bytes() == before
    traces.distill(tmp_path / "cohort", tmp_path / "out", RECIPE, overwrite=True)
    assert first_shard.read_bytes() == before  # these rows' prompts are unchanged
    wanted = sorted(row["note_id"] for row in rows_in(tmp_path / "cohort"))
    assert sorted(row["note_id"] for row in rows_in(folder)) == wanted


def test_a_smaller_limit_loses_no_row_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 300)
    traces.distill(cohort, tmp_path / "out", RECIPE, limit=20)
    assert len(rows_in(tmp_path / "out")) == 60
    traces.distill(cohort, tmp_path / "out", RECIPE)
    assert len(rows_in(tmp_path / "out")) == 300
    assert sum(traces.distill(cohort, tmp_path / "out", RECIPE, limit=5)["counts"]["kept"].values()) > 200
    assert len(rows_in(tmp_path / "out")) == 300


def test_a_damaged_shard_is_named_with_the_way_out(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 50)
    traces.distill(cohort, tmp_path / "out", RECIPE)
    shard = tmp_path / "out" / RECIPE.digest / "kept" / "train-00000.parquet"
    shard.write_bytes(b"PAR1")
    with pytest.raises(DeepicdError, match="Remove that file: the same command then writes its rows again"):
        traces.distill(cohort, tmp_path / "out", RECIPE)
    shard.unlink()
    traces.distill(cohort, tmp_path / "out", RECIPE)
    assert len(rows_in(tmp_path / "out")) == 50


def test_a_killed_run_goes_on_and_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 4_000), tmp_path / "out"
    (tmp_path / "test.yaml").write_text("{engine: rehearsal, teacher: none}")
    command = [sys.executable, "-m", "deepicd", "distill", cohort, out, "--recipe", tmp_path / "test.yaml"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and len(list(out.rglob("*.parquet"))) < 6:
            time.sleep(0.001)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert runs.read(out / RECIPE.digest) is None
    saved = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    killed = traces.distill(cohort, out, RECIPE)
    # a shard whose second file was still to come is written again; the others are left alone
    assert sum(path.stat().st_mtime_ns != time_written for path, time_written in saved.items()) <= 1
    assert killed["outputs"] == traces.distill(cohort, tmp_path / "undisturbed", RECIPE)["outputs"]


def test_the_teacher_is_shown_a_description_and_the_row_says_whose(tmp_path: Path) -> None:
    page = {"code": "I21.4", "language": "de", "outcome": "described", "text": "Ihr Herz bekam zu wenig Blut."}
    row: dict[str, Any] = dict.fromkeys(DESCRIPTIONS.names) | page
    store.write_parquet(tmp_path / "descriptions.parquet", [row], DESCRIPTIONS, "public")
    cohort = write_cohort(tmp_path / "cohort", 20)
    record = traces.distill(cohort, tmp_path / "out", RECIPE, descriptions=tmp_path / "descriptions.parquet")
    assert {row["description_code"] for row in rows_in(tmp_path / "out")} == {"I21.4"}
    assert record["counts"]["without_description"] == 0


def test_traces_of_credentialed_notes_are_credentialed(tmp_path: Path) -> None:
    record = traces.distill(write_cohort(tmp_path / "cohort", 20, "mimic"), tmp_path / "out", RECIPE)
    assert record["origin"] == "mimic"
    assert {store.origin_of(path) for path in (tmp_path / "out").rglob("*.parquet")} == {"mimic"}


def test_limit_takes_the_first_rows_of_each_split(tmp_path: Path) -> None:
    traces.distill(write_cohort(tmp_path / "cohort"), tmp_path / "out", RECIPE, limit=5)
    assert len(rows_in(tmp_path / "out")) == 15


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("engine", "There is no engine 'oracle'"),
        ("prompt", "The recipe asks for the prompt 'other'"),
        ("cohort", "holds no finished run"),
        ("guidelines", "Make the guidelines first"),
        ("empty guidelines", r"holds no chapter_01\.json"),
        ("descriptions", "There is no file"),
    ],
)
def test_a_set_up_that_cannot_work_is_an_error_at_once(tmp_path: Path, what: str, message: str) -> None:
    cohort = write_cohort(tmp_path / "cohort", 20)
    recipe = RECIPE.but(**{"engine": {"engine": "oracle"}, "prompt": {"prompt": "other"}}.get(what, {}))
    (tmp_path / "empty").mkdir()
    guidelines = {"guidelines": tmp_path / "absent", "empty guidelines": tmp_path / "empty"}.get(what)
    descriptions = tmp_path / "absent.parquet" if what == "descriptions" else None
    source = tmp_path / "absent" if what == "cohort" else cohort
    with pytest.raises(DeepicdError, match=message):
        traces.distill(source, tmp_path / "out", recipe, guidelines=guidelines, descriptions=descriptions)
    assert not (tmp_path / "out").exists()
