"""Shards: processes that complete a run together give, once merged, what one process gives."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cohorts import rows_in, write_cohort

from benchmarks import kills
from deepicd.engines.shard import Shard
from deepicd.errors import DeepicdError
from distill import run, sharding
from distill.recipe import Recipe, load_recipe
from distill.sources import open_sources

RECIPE = Recipe(name="sharded", engine="rehearsal", model="none")


def complete(cohort: Path, out: Path, shard: str) -> sharding.ShardSummary:
    share = Shard.parse(shard)
    return sharding.run_shard(run.Job(cohort, out, RECIPE, shard=share), share)


def start(cohort: Path, out: Path, shard: str) -> subprocess.Popen[str]:
    options = ["--recipe", "rehearsal", "--shard", shard, "-q"]
    command = [sys.executable, "-m", "deepicd", "distill", str(cohort), str(out), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_processes_beside_each_other_one_of_them_killed_give_the_bytes_of_one(tmp_path: Path) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 300), tmp_path / "out"
    processes = [start(cohort, out, f"{number}/3") for number in (1, 2, 3)]
    while processes[1].poll() is None and not (out / "ledger" / "00001.jsonl").exists():
        time.sleep(0.01)
    processes[1].send_signal(signal.SIGKILL)
    for process in (processes[0], processes[2], start(cohort, out, "2/3")):
        said, _ = process.communicate()
        assert process.returncode == 0, said
        assert "run the same command with --merge" in said
    recipe = load_recipe(Path("rehearsal"))
    alone = run.distill(cohort, tmp_path / "alone", recipe)
    merged = run.distill(cohort, out, recipe, merge=True)
    assert kills.digest_outputs(out) == kills.digest_outputs(tmp_path / "alone")
    assert (merged.counts.kept, merged.counts.attempts) == (alone.counts.kept, alone.counts.attempts)
    assert (merged.notes, alone.notes, merged.counts.series) == ([run.SERIES_OF_PARTS], [], [])
    planned = ["plan", "--rows", "300", "--recipe", "rehearsal", "--traces"]
    said = subprocess.run([sys.executable, "-m", "deepicd", *planned, out], capture_output=True, text=True, check=False)
    assert (said.returncode, "has only rates of shards or workers" in " ".join(said.stderr.split())) == (2, True)


def test_each_row_belongs_to_one_shard(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 60)
    rows = [complete(cohort, tmp_path / "out", f"{number}/4").rows for number in (1, 2, 3, 4)]
    assert sum(rows) == len(rows_in(cohort))
    assert all(rows)


def test_shards_divide_the_rows_within_a_limit_and_keep_their_order(tmp_path: Path) -> None:
    sources = open_sources(write_cohort(tmp_path / "cohort", 1000), None, None)
    rows = list(sources.read_rows(300))
    assert [sum(split == name for split, _ in rows) for name in ("train", "validation", "test")] == [300, 100, 200]
    for number in (1, 2, 3):
        shard = Shard(number, 3)
        assert list(sources.read_rows(300, shard)) == [entry for entry in rows if shard.has(entry[1]["note_id"])]


def test_merging_is_refused_until_every_shard_has_ended(tmp_path: Path) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 40), tmp_path / "out"
    complete(cohort, out, "1/2")
    with pytest.raises(DeepicdError, match="not all shards have ended"):
        run.distill(cohort, out, RECIPE, merge=True)
    assert not (out / RECIPE.digest).exists()
    complete(cohort, out, "2/2")
    run.distill(cohort, out, RECIPE, merge=True)
    kept = rows_in(out / RECIPE.digest / "kept")
    assert len(kept) == len(rows_in(cohort))


@pytest.mark.parametrize("text", ["0/4", "5/4", "4", "a/b", "-1/4", "1/0", "1/4/2"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(DeepicdError, match="Write it like 3/16"):
        Shard.parse(text)
