"""Measure what workers of a Ray cluster do per second, and what the process that starts them holds.

    python -m benchmarks.ray_workers --rows 400 2000 --workers 1 2 4
    python -m benchmarks.ray_workers --rows --replicas 64     # of a run that is stopped after some minutes

The engine is `rehearsal`, so that a worker's time goes into planning, prompts, rehearsing, checks and the ledger. Time
is that of the CPU, since cores are shared; a worker's starts with its shard, after its imports. "Traces per second" is
what was wall time between the first and the last completion; with more workers than cores it cannot grow. The second
form has 8,192 rows per replica, two cores that take one shard after the other, and measures memory alone.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import kills
from benchmarks.distill import build_seeds, count_completions, write_cohort
from benchmarks.measure import RESULTS, deepicd, describe_machine
from deepicd.engines.ray_cluster import ON_LOOPBACK
from deepicd.engines.registry import TELEMETRY_OFF

TICK = os.sysconf("SC_CLK_TCK")
REQUESTS = 8_192  # per replica: what the engine ray once kept under way for each
ENOUGH, LONGEST = 2**20, 500.0  # bytes in the ledger, or seconds, after which a run has shown its memory
RESULT = RESULTS / "ray_workers.json"


@dataclass
class Usage:
    """What was seen of the processes of a run while it ran."""

    cpu: dict[int, list[float]] = field(default_factory=dict)
    """Worker's pid → seconds of CPU when it began its shard, and when it was last seen."""
    worker_mib: float = 0.0
    driver_mib: float = 0.0
    """Of the process that starts the workers, while any of them runs."""
    lines: list[tuple[float, int]] = field(default_factory=list)
    """Time → bytes in the ledger."""

    def sample(self, driver: int, ledger: Path) -> None:
        pids: set[int] = set()
        for lock in ledger.glob(".lock*"):
            with suppress(OSError, ValueError, KeyError):
                pids.add(int(json.loads(lock.read_text())["pid"]))
        for pid in pids - {driver}:
            with suppress(OSError, ValueError, IndexError):
                self.cpu.setdefault(pid, [read_cpu(pid)] * 2)[1] = read_cpu(pid)
                self.worker_mib = max(self.worker_mib, read_memory(pid))
                self.driver_mib = max(self.driver_mib, read_memory(driver))
        self.lines.append((time.monotonic(), sum(path.stat().st_size for path in ledger.glob("*.jsonl"))))


def read_cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def read_memory(pid: int) -> float:
    """Return MiB that are resident."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(cohort: Path, out: Path, workers: int) -> dict[str, float]:
    """Distill a cohort with so many workers."""
    usage, started = Usage(), time.monotonic()
    command = deepicd("distill", cohort, out, "--recipe", "rehearsal", "--workers", str(workers), "-q")
    environment = os.environ | {"RAY_ADDRESS": "", "RAY_worker_niceness": "0"}  # by default workers give way to others
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            usage.sample(process.pid, out / "ledger")
            time.sleep(0.1)
    if process.returncode:
        raise RuntimeError(f"distill ended with {process.returncode}.")
    completions = count_completions(out)
    if set(completions.values()) != {1}:
        raise RuntimeError("A completion was written twice.")
    cpu = sum(last - first for first, last in usage.cpu.values())
    growing = [at for (at, size), (_, after) in zip(usage.lines, usage.lines[1:], strict=False) if after > size]
    return {
        "workers": workers,
        "traces": len(completions),
        "seconds": round(time.monotonic() - started, 1),
        "traces_per_second": round(len(completions) / (growing[-1] - growing[0])),
        "traces_per_cpu_second_of_workers": round(len(completions) / cpu),
        "driver_mib_while_workers_run": round(usage.driver_mib),
        "worker_mib": round(usage.worker_mib),
    }


def measure_replicas(folder: Path, seeds: Path, replicas: int) -> dict[str, float]:
    """Start a run of so many replicas, and stop it once workers have written for a while."""
    os.environ |= ON_LOOPBACK | TELEMETRY_OFF  # before Ray is imported
    from ray.cluster_utils import Cluster

    cohort, out = folder / "cohort-replicas", folder / "traces-replicas"
    repeat_cohort(seeds, cohort, REQUESTS * replicas)
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 2, "node_ip_address": "127.0.0.1", "object_store_memory": 2**27}
        | {"include_dashboard": False},
    )
    usage = Usage()
    command = deepicd("distill", cohort, out, "--recipe", "rehearsal", "--workers", str(replicas), "-q")
    environment = os.environ | {"RAY_ADDRESS": cluster.address}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + LONGEST
        while process.poll() is None and time.monotonic() < until:
            usage.sample(process.pid, out / "ledger")
            if usage.lines[-1][1] > ENOUGH:
                break
            time.sleep(0.2)
        process.kill()
    cluster.shutdown()
    return {
        "rows": REQUESTS * replicas,
        "replicas": replicas,
        "ledger_mib": round(usage.lines[-1][1] / 2**20, 1),
        "driver_mib_while_workers_run": round(usage.driver_mib),
        "worker_mib": round(usage.worker_mib),
    }


def repeat_cohort(seeds: Path, out: Path, rows: int) -> None:
    """Write a cohort whose training split has so many rows, those of `seeds` under other ids."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from deepicd import records, storage
    from deepicd.schema import COHORT, SPLITS

    plan = records.plan_run("build", options={"rows": rows}, inputs={})
    with records.open_fresh_folder(out, plan, "synthetic") as made:
        for split in SPLITS:
            known = pq.read_table(seeds / f"{split}.parquet")
            with storage.open_parquet_writer(made.folder / f"{split}.parquet", COHORT, "synthetic") as writer:
                for first in range(0, rows if split == "train" else 1, len(known)):
                    part = known.slice(0, rows - first)
                    ids = pa.array([f"{10_000_000 + first + n}-DS-1" for n in range(len(part))])
                    part = part.set_column(part.column_names.index("note_id"), "note_id", ids)
                    writer.write_table(part.select(writer.schema.names).cast(writer.schema))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[400, 2_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--replicas", type=int)
    options = parser.parse_args()
    results: dict[str, object] = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    results["machine"] = describe_machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = build_seeds(folder)
        for rows in options.rows:
            cohort = write_cohort(rows, seeds, folder / f"cohort-{rows}")
            outputs = []
            for workers in options.workers:
                out = folder / f"traces-{rows}-{workers}"
                results[f"{rows} rows, {workers} workers"] = found = measure(cohort, out, workers)
                outputs.append(kills.digest_outputs(out))
                print(f"{rows:,} rows: {found}", flush=True)
                RESULT.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
            if any(output != outputs[0] for output in outputs):
                raise RuntimeError("The number of workers changed what is written.")
        if options.replicas:
            results[f"{options.replicas} replicas"] = measure_replicas(folder, seeds, options.replicas)
    RESULT.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
