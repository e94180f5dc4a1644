"""Stages' folders: whole or absent, finished or repeated, never mixed."""

import logging
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepicd import log, records, storage
from deepicd.errors import DeepicdError
from deepicd.stage_records import BuildCounts, BuildRecord, DistillRecord, Funnel, FunnelStep, SplitCounts


def plan_of(tmp_path: Path, seed: int = 1, text: str = "input") -> records.Plan[records.Record]:
    source = tmp_path / "source.txt"
    source.write_text(text)
    return records.plan_run("build", options={"seed": seed}, inputs={"source": source})


def make(out: Path, plan: records.Plan[records.Record], *, overwrite: bool = False) -> None:
    with records.open_fresh_folder(out, plan, "synthetic", overwrite=overwrite) as run:
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
    with (
        pytest.raises(ZeroDivisionError),
        records.open_fresh_folder(tmp_path / "new" / "out", plan, "synthetic") as run,
    ):
        storage.write_text(run.folder / "data.txt", "half")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["source.txt"]


def test_a_killed_run_is_no_obstacle_and_no_result(tmp_path: Path) -> None:
    script = f"""
import os, signal
from pathlib import Path
from deepicd import records, storage
plan = records.plan_run("build", options={{}}, inputs={{}})
with records.open_fresh_folder(Path({str(tmp_path / "out")!r}), plan, "synthetic") as run:
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


def test_an_option_that_is_the_same_is_not_named_as_a_difference(tmp_path: Path) -> None:
    make(tmp_path / "out", records.plan_run("build", options={"seed": 1, "sections": ("Sex",)}, inputs={}))
    other = records.plan_run("build", options={"seed": 2, "sections": ("Sex",)}, inputs={})
    with pytest.raises(DeepicdError, match=r"another run: option seed was 1, now 2\.\n"):
        make(tmp_path / "out", other)


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
        records.open_fresh_folder(tmp_path / "out", plan, "synthetic"),
        pytest.raises(DeepicdError, match="Another process is writing"),
        records.open_fresh_folder(tmp_path / "out", plan, "synthetic"),
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
    with records.open_resumable_folder(tmp_path / "out", plan_of(tmp_path), "synthetic"):
        pass
    assert list((tmp_path / "out" / "kept").iterdir()) == []


def test_sigterm_cleans_up_like_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deepicd", "synthesize", tmp_path / "copy", "--admissions", "20000"]
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


COUNTS = BuildCounts(
    rows={"train": 3},
    codes=2,
    chapters={"9": 3},
    split=SplitCounts(codes={"train": 2}, patients=3, patients_on_several_sides=0, moved={}),
    funnel=Funnel(steps=[FunnelStep(step="discharge notes", rows=3, lost={})], rows=3, codes=2),
)


def build_folder(out: Path) -> records.Plan[BuildRecord]:
    plan = records.plan_run(BuildRecord, options={"seed": 1, "sections": ("a", "b")}, inputs={})
    with records.open_fresh_folder(out, plan, "synthetic") as run:
        (run.folder / "train.txt").write_text("rows")
        run.counts = COUNTS
    assert run.record.counts == COUNTS
    return plan


def test_a_record_is_read_with_the_counts_of_its_stage(tmp_path: Path) -> None:
    plan = build_folder(tmp_path / "out")
    record = records.require(tmp_path / "out", BuildRecord)
    assert record.counts.funnel.steps[0].rows == 3
    assert record == records.find_finished(tmp_path / "out", plan)
    assert record.options == {"seed": 1, "sections": ["a", "b"]}
    with pytest.raises(DeepicdError, match="a run of `deepicd build`"):
        records.require(tmp_path / "out", DistillRecord)


def test_run_json_keeps_its_fields_in_their_order(tmp_path: Path) -> None:
    build_folder(tmp_path / "out")
    value = storage.read_json(tmp_path / "out" / "run.json")
    assert list(value) == [
        "version", "command", "argv", "key", "origin", "options", "inputs", "counts", "notes", "started", "seconds",
        "outputs", "lineage", "checksum",
    ]  # fmt: skip
    assert list(value["counts"]) == [
        "rows",
        "codes",
        "chapters",
        "split",
        "funnel",
    ]  # what the stage did not set is out
    record = records.read(tmp_path / "out")
    assert record is not None and list(record.dump()) == list(value) and record.dump() == value


def change_record(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    value = storage.read_json(folder / "run.json")
    change(value)
    storage.write_json(folder / "run.json", value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value["counts"].pop("funnel"), "counts.funnel is missing"),
        (lambda value: value["counts"].update(codes="two"), "counts.codes: Input should be a valid integer"),
        (lambda value: value.pop("key"), "key is missing"),
        (lambda value: value.update(origin="unknown"), "origin: Input should be 'mimic', 'synthetic' or 'public'"),
        (lambda value: value["outputs"]["train.txt"].pop("sha256"), "outputs.train.txt.sha256 is missing"),
    ],
)
def test_a_wrong_or_missing_field_is_named_with_its_file(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    build_folder(tmp_path / "out")
    change_record(tmp_path / "out", change)
    with pytest.raises(DeepicdError, match=re.escape(f"{tmp_path / 'out' / 'run.json'} is not a complete record")) as e:
        records.require(tmp_path / "out", BuildRecord)
    assert message in str(e.value)


def add_a_count(value: dict[str, Any]) -> None:
    value["counts"].update(later={"rows": 1})
    del value["checksum"]  # which that version computed with it


def test_fields_of_another_version_are_kept_on_the_way_down(tmp_path: Path) -> None:
    build_folder(tmp_path / "out")
    change_record(tmp_path / "out", add_a_count)
    plan = records.plan_run("distill", options={}, inputs={"cohort": tmp_path / "out"})
    assert plan.lineage["build"].dump()["counts"]["later"] == {"rows": 1}  # type: ignore[index]
    assert plan.lineage["build"].parse_as(BuildRecord).counts.codes == 2


def test_a_stage_before_is_found_in_the_lineage(tmp_path: Path) -> None:
    build_folder(tmp_path / "cohort")
    plan = records.plan_run("distill", options={}, inputs={"cohort": tmp_path / "cohort"})
    with records.open_fresh_folder(tmp_path / "traces", plan, "synthetic") as run:
        (run.folder / "kept").mkdir()
        (run.folder / "kept" / "a.txt").write_text("a")
    assert run.record.require_upstream(BuildRecord).counts.rows == {"train": 3}
    assert run.record.find_upstream(DistillRecord) is None
    with pytest.raises(DeepicdError, match="has no `deepicd distill` in its lineage"):
        run.record.require_upstream(DistillRecord)


def test_a_run_has_no_record_before_its_end(tmp_path: Path) -> None:
    with (
        records.open_fresh_folder(tmp_path / "out", plan_of(tmp_path), "synthetic") as run,
        pytest.raises(RuntimeError),
    ):
        run.record.dump()


def test_files_are_compared_with_the_record(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name in ("rows/a", "rows/b", "rows/c", "rows/d", "other/e"):
        storage.write_text(folder / name, name)
    outputs = records.describe_files(folder)
    assert not records.compare_files(folder, outputs, content=True, closed=["rows", "other", "absent"])
    (folder / "rows" / "a").unlink()
    storage.write_text(folder / "rows" / "b", "rows/B")  # of the same size
    storage.write_text(folder / "rows" / "c", "longer than before")
    storage.write_text(folder / "rows" / "new", "")
    storage.write_text(folder / "other" / "new", "")
    storage.write_text(folder / "rows" / "run.log", "a log is no output")
    changes = records.compare_files(folder, outputs, content=True, closed=["rows"])
    assert str(changes) == "missing: rows/a; changed: rows/b, rows/c; not of this run: rows/new"
    assert records.compare_files(folder, outputs, content=False).changed == ["rows/c"]


def test_the_only_run_below_a_folder_is_found(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(DeepicdError, match="holds no output of `deepicd build`"):
        records.find_run_folder(out, BuildRecord, "train.txt")
    build_folder(out / "one")
    folder, record = records.find_run_folder(out, BuildRecord, "train.txt")
    assert (folder, record.command) == (out / "one", "build")
    assert records.find_run_folder(out / "one", BuildRecord, "train.txt")[0] == out / "one"
    storage.write_text(out / ".hidden" / "train.txt", "")
    storage.write_text(out / "two" / "train.txt", "")
    with pytest.raises(DeepicdError, match="holds 2 outputs of `deepicd build`: one, two"):
        records.find_run_folder(out, BuildRecord, "train.txt")
    with pytest.raises(DeepicdError, match="is not finished"):
        records.find_run_folder(out / "two", BuildRecord, "train.txt")


def test_messages_go_to_a_log_that_is_no_output(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("deepicd.test")
    caplog.set_level(logging.INFO)
    for number in (1, 2):
        with records.open_resumable_folder(tmp_path / "kept", plan_of(tmp_path), "synthetic") as kept:
            storage.write_text(kept.folder / "data.txt", "rows")
            logger.info("Kept %s of 3 rows.", number)
        with records.open_fresh_folder(tmp_path / "fresh", plan_of(tmp_path), "synthetic") as fresh:
            storage.write_text(fresh.folder / "data.txt", "rows")
            logger.info("Kept %s of 3 rows.", number)
    logger.info("The block has ended.")
    lines = [line.split(" ", 3)[-1] for line in (tmp_path / "kept" / "run.log").read_text().splitlines()]
    assert lines == ["Kept 1 of 3 rows.", "Kept 2 of 3 rows."]  # appended
    assert "Kept 2 of 3 rows." in (tmp_path / "fresh" / "run.log").read_text()
    assert "Kept 1" not in (tmp_path / "fresh" / "run.log").read_text()  # replaced with its folder
    assert list(kept.record.outputs) == list(fresh.record.outputs) == ["data.txt"]
    assert storage.digest_path(tmp_path / "kept") == storage.digest_path(tmp_path / "fresh")
    assert records.find_finished(tmp_path / "fresh", plan_of(tmp_path)) == fresh.record


def test_a_run_that_fails_at_once_leaves_no_folder_and_no_obstacle(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with (
        pytest.raises(ZeroDivisionError),
        records.open_resumable_folder(tmp_path / "new" / "out", plan_of(tmp_path), "synthetic"),
    ):
        logging.getLogger("deepicd.test").info("Starting.")
        raise ZeroDivisionError
    assert not (tmp_path / "new" / "out").exists()
    storage.write_text(tmp_path / "out" / "run.log", "Stopped.\n")
    make(tmp_path / "out", plan_of(tmp_path))
    assert (tmp_path / "out" / "data.txt").is_file()


def test_a_folder_for_others_has_no_log(tmp_path: Path) -> None:
    log.configure()
    with records.open_fresh_folder(tmp_path / "bundle", plan_of(tmp_path), "synthetic") as run:
        run.is_portable = True
        logging.getLogger("deepicd.stage").info("Read %s.", tmp_path)
        run.counts = records.Counts(rows=1)
    assert [path.name for path in (tmp_path / "bundle").iterdir()] == ["run.json"]
