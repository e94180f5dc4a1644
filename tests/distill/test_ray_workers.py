"""Workers on a Ray cluster of several raylets: what dies is done again, and the files are those of one process."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from cohorts import rows_in, write_cohort

from benchmarks import kills
from benchmarks.distill import count_completions
from deepicd.engines.ledger import build_key
from deepicd.engines.ray_cluster import ON_LOOPBACK, count_gpus
from deepicd.engines.registry import TELEMETRY_OFF
from deepicd.engines.shard import Shard
from deepicd.errors import DeepicdError
from deepicd.lease import Owner
from distill import run, sharding
from distill.recipe import Recipe, load_recipe

os.environ |= ON_LOOPBACK | TELEMETRY_OFF  # before any test imports Ray
RECIPE = Recipe(name="workers", engine="rehearsal", model="none")
FIRST, SECOND = Shard(1, 2), Shard(2, 2)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that runs no worker, and two raylets that run one each; all on loopback."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    small = {"node_ip_address": "127.0.0.1", "object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=small | {"num_cpus": 0})
    for _ in range(2):
        cluster.add_node(**small, num_cpus=1)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield cluster
    cluster.shutdown()


def wait_for_lines(out: Path, shard: Shard, lines: int) -> int:
    """Wait until a shard has written so many lines to its sessions, and return how many it has."""
    until, written = time.monotonic() + 240, 0
    while time.monotonic() < until and written < lines:
        own = [path for path in (out / "ledger").glob("*.jsonl") if shard.owns_number(int(path.stem))]
        written = sum(path.read_bytes().count(b"\n") for path in own)
        time.sleep(0.05)
    return written


def kill_worker(out: Path, shard: Shard) -> None:
    """End the process that completes a shard, without warning."""
    os.kill(json.loads((out / "ledger" / shard.lock).read_text())["pid"], signal.SIGKILL)


@pytest.mark.engines
def test_a_killed_worker_and_a_killed_raylet_leave_all_rows_once(cluster: Any, tmp_path: Path) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 400), tmp_path / "out"
    killed: list[str] = []

    def kill() -> None:
        lines = wait_for_lines(out, FIRST, 40)
        kill_worker(out, FIRST)
        killed.append("worker")
        wait_for_lines(out, FIRST, lines + 40)  # it has been started again
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        killed.append("raylet")

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    record = sharding.run_on_ray(run.Job(cohort, out, RECIPE), 2)
    killer.join()
    assert killed == ["worker", "raylet"]
    alone = run.distill(cohort, tmp_path / "alone", RECIPE)
    assert kills.digest_outputs(out) == kills.digest_outputs(tmp_path / "alone")
    assert (record.counts.kept, record.counts.attempts) == (alone.counts.kept, alone.counts.attempts)
    completions = count_completions(out)
    assert len(completions) == alone.counts.attempts
    assert set(completions.values()) == {1}


@pytest.mark.engines
def test_the_engine_ray_runs_a_model_per_worker_and_outlives_one(cluster: Any, tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    cohort, out = write_cohort(tmp_path / "cohort", 60), tmp_path / "out"
    recipe = load_recipe(Path("tiny")).replace(engine="ray", data_parallel=2, in_flight=8, attempts=1, max_tokens=64)

    def kill() -> None:
        wait_for_lines(out, SECOND, 3)
        kill_worker(out, SECOND)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with pytest.raises(DeepicdError, match="of 60 attempts all were rejected"):  # no trace ends within 64 tokens
        sharding.run_on_ray(run.Job(cohort, out, recipe), 2)
    killer.join()
    assert len(list((out / "ledger").glob("*.jsonl"))) == 3  # two sessions, and that of the worker's successor
    completions = count_completions(out)
    assert len(completions) == len(rows_in(cohort)) == 60
    assert set(completions.values()) == {1}
    assert {row["engine"] for row in rows_in(out / recipe.digest)} == {"vllm"}


@pytest.mark.engines
def test_the_command_starts_a_cluster_of_its_own_or_says_why_ray_cannot(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    cohort, out = write_cohort(tmp_path / "cohort", 2000), tmp_path / "out"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "TMPDIR"))}
    command = [*kills.build_command(cohort, out), "--workers", "2"]
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=kept | {"TMPDIR": str(deep)})
    assert done.returncode == 1
    assert "a shorter one: RAY_TMPDIR=/tmp" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=kept) as process:
        wait_for_lines(out, FIRST, 1)
        process.terminate()
        _, err = process.communicate()
    assert process.returncode == 130, err
    assert "Traceback" not in err
    subprocess.run(command, check=True, env=kept)
    assert rows_in(next(out.glob("*/kept")))


@pytest.mark.engines
def test_a_shard_that_does_not_get_further_ends_the_run(cluster: Any, tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 20)
    silent = RECIPE.replace(engine="openai_server", base_url="http://127.0.0.1:9/v1", outage=0)
    with pytest.raises(DeepicdError, match=r"127\.0\.0\.1:9"):
        sharding.run_on_ray(run.Job(cohort, tmp_path / "out", silent), 2)
    assert not list((tmp_path / "out").glob("*/run.json"))


def test_a_worker_that_does_not_see_the_disk_of_the_run_writes_nothing(tmp_path: Path) -> None:
    job = run.Job(write_cohort(tmp_path / "cohort", 20), tmp_path / "out", RECIPE)
    work = sharding.Work(job, tmp_path, tmp_path / "out" / "ledger" / sharding.MARKER)
    error = work.complete(FIRST)
    assert error is not None
    assert "A worker does not see what is in" in error.what
    assert not (tmp_path / "out").exists()


def test_the_marker_of_a_killed_run_is_taken_over_and_none_is_left(tmp_path: Path) -> None:
    job, ledger = run.Job(tmp_path, tmp_path, RECIPE), tmp_path / "ledger"
    ledger.mkdir()
    (ledger / ".workers-x1y2").touch()
    ended = replace(Owner.describe_this_process(), started="0")  # a process that had this one's pid before
    (ledger / sharding.MARKER).write_text(json.dumps(asdict(ended)))
    with sharding._write_marker(job) as marker:
        assert list(ledger.iterdir()) == [marker]
    assert not list(ledger.iterdir())


def test_a_second_run_with_workers_is_refused_at_once_while_the_first_lives(tmp_path: Path) -> None:
    job, started = run.Job(tmp_path, tmp_path, RECIPE), time.monotonic()
    with (
        sharding._write_marker(job),
        pytest.raises(DeepicdError, match="Another process is completing rows of"),
        sharding._write_marker(job),
    ):
        pass
    assert time.monotonic() - started < 5


def test_a_worker_has_one_copy_of_the_model_and_writes_under_the_keys_of_the_run() -> None:
    recipe = load_recipe(Path("tiny")).replace(engine="ray", data_parallel=8, tensor_parallel=2, in_flight=100)
    worker = sharding.build_worker_recipe(recipe)
    assert (worker.engine, worker.data_parallel, worker.in_flight, count_gpus(worker)) == ("vllm", 1, 13, 2)
    assert worker.digest == recipe.digest
    assert build_key(worker, "1-DS-1", "sha") == build_key(recipe, "1-DS-1", "sha")
    assert count_gpus(RECIPE) == 0


def test_a_worker_is_started_again_while_it_gets_further_and_otherwise_twice(tmp_path: Path) -> None:
    started: list[Shard] = []
    job = run.Job(tmp_path, tmp_path, RECIPE)
    watch = sharding.Watch(started.append, sharding.Progress(job, lambda n, status="": None))
    died = sharding.WorkerDied("A worker ended without a word.")
    watch.start(FIRST)
    assert [watch.may_continue(FIRST, died) for _ in range(3)] == [True, True, False]
    assert not watch.may_continue(SECOND, DeepicdError("There is no model."))
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "00001.jsonl").write_text("another shard's")
    assert not watch.may_continue(FIRST, died)
    (tmp_path / "ledger" / "00002.jsonl").write_text("its own")
    assert watch.may_continue(FIRST, DeepicdError("vLLM ended."))
