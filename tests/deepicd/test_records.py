"""Stages' folders: whole or absent, finished or repeated, never mixed."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepicd import records, storage
from deepicd.errors import DeepicdError


def plan_of(tmp_path: Path, seed: int = 1, text: str = "input") -> records.Plan:
    source = tmp_path / "source.txt"
    source.write_text(text)
    return records.plan_run("build", options={"seed": seed}, inputs={"source": source})


def make(out: Path, plan: records.Plan, *, overwrite: bool = False) -> None:
    with records.fresh_folder(out, plan, "synthetic", overwrite=overwrite) as run:
        storage.write_text(run.folder / "data.txt", f"seed {plan.options['seed']}")
        run.counts = records.Counts(rows=1)


def test_a_folder_appears_with_its_record(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    make(tmp_path / "out", plan)
    record = records.read(tmp_path / "out")
    assert record is not None
    assert record.command == "build"
    assert record.counts.dump() == {"rows": 1}
    assert record.origin == "synthetic"
    assert record.outputs["data.txt"].bytes == 6
    assert record.inputs["source"].digest == storage.digest_path(tmp_path / "source.txt")
    assert records.find_finished(tmp_path / "out", plan) == record


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    with pytest.raises(ZeroDivisionError), records.fresh_folder(tmp_path / "new" / "out", plan, "synthetic") as run:
        storage.write_text(run.folder / "data.txt", "half")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["source.txt"]


def test_a_killed_run_is_no_obstacle_and_no_result(tmp_path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from deepicd import records, storage
plan = records.plan_run("build", options={{}}, inputs={{}})
with records.fresh_folder(Path({str(tmp_path / "out")!r}), plan, "synthetic") as run:
    storage.write_text(run.folder / "stale.txt", "half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert not (tmp_path / "out").exists()
    make(tmp_path / "out", plan_of(tmp_path))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["data.txt", "run.json"]
    assert not list(tmp_path.glob(".out*"))


def test_another_plan_is_refused_with_what_differs_and_replaced_on_demand(tmp_path: Path) -> None:
    make(tmp_path / "out", plan_of(tmp_path, seed=1))
    other = plan_of(tmp_path, seed=2, text="changed")
    with pytest.raises(DeepicdError, match="option seed was 1, now 2; input source differs"):
        make(tmp_path / "out", other)
    assert (tmp_path / "out" / "data.txt").read_text() == "seed 1"
    make(tmp_path / "out", other, overwrite=True)
    assert (tmp_path / "out" / "data.txt").read_text() == "seed 2"


def test_files_of_the_user_and_of_other_stages_are_never_touched(tmp_path: Path) -> None:
    out, plan = tmp_path / "out", plan_of(tmp_path)
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(DeepicdError, match="holds files that no"):
        make(out, plan, overwrite=True)
    assert (out / "thesis.tex").read_text() == "mine"
    make(tmp_path / "cohort", plan)
    other = records.plan_run("assemble", options={}, inputs={})
    with pytest.raises(DeepicdError, match="output of `deepicd build`"):
        make(tmp_path / "cohort", other, overwrite=True)


def test_a_missing_or_shortened_output_means_unfinished(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    make(tmp_path / "out", plan)
    (tmp_path / "out" / "data.txt").write_text("")
    assert records.find_finished(tmp_path / "out", plan) is None


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    with (
        records.fresh_folder(tmp_path / "out", plan, "synthetic"),
        pytest.raises(DeepicdError, match="Another process is writing"),
        records.fresh_folder(tmp_path / "out", plan, "synthetic"),
    ):
        pass
    assert (tmp_path / "out" / "run.json").is_file()


def test_records_travel_down_the_chain_without_paths(tmp_path: Path) -> None:
    make(tmp_path / "first", plan_of(tmp_path))
    second = records.plan_run("distill", options={}, inputs={"cohort": tmp_path / "first"})
    assert second.lineage["build"].counts.dump() == {"rows": 1}
    assert str(tmp_path) not in str(second.lineage)


def test_a_link_to_a_folder_is_followed_and_the_working_folder_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    make(tmp_path / "link", plan_of(tmp_path))
    make(tmp_path / "link", plan_of(tmp_path, seed=2), overwrite=True)
    assert (tmp_path / "real" / "data.txt").read_text() == "seed 2"
    assert (tmp_path / "link").is_symlink()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(DeepicdError, match="is the working folder or a mount point"):
        make(Path(), plan_of(tmp_path))


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"command": "build"}', "not JSON"])
def test_a_run_json_of_another_kind_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text(text)
    with pytest.raises(DeepicdError, match=r"run\.json is not"):
        records.find_finished(tmp_path / "out", plan_of(tmp_path))
    with pytest.raises(DeepicdError, match=r"run\.json is not"):
        records.plan_run("distill", options={}, inputs={"cohort": tmp_path / "out"})


def test_output_between_two_names_is_found_again(tmp_path: Path) -> None:
    make(tmp_path / "out", plan_of(tmp_path))
    (tmp_path / "out").rename(tmp_path / ".out.old")  # as a kill between two renamings leaves it
    with pytest.raises(DeepicdError, match="already holds another run"):
        make(tmp_path / "out", plan_of(tmp_path, seed=2))
    assert (tmp_path / "out" / "data.txt").read_text() == "seed 1"


def test_half_written_files_of_a_killed_run_go(tmp_path: Path) -> None:
    (tmp_path / "out" / "kept").mkdir(parents=True)
    (tmp_path / "out" / "kept" / ".train.parquet.4242.partial").write_text("half")
    with records.resumable_folder(tmp_path / "out", plan_of(tmp_path), "synthetic"):
        pass
    assert list((tmp_path / "out" / "kept").iterdir()) == []


def test_sigterm_cleans_up_like_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deepicd", "synthesize", tmp_path / "copy", "--admissions", "100000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        # until notes are written: an interrupt within an import's own callbacks is one that Python drops
        while process.poll() is None and not any(
            path.stat().st_size for path in tmp_path.glob(".copy.partial/note/.*")
        ):
            time.sleep(0.01)
        process.terminate()
        _, error = process.communicate()
    assert process.returncode == 130
    assert error.splitlines()[-1].startswith("Stopped.")
    assert list(tmp_path.iterdir()) == []
