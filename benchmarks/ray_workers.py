"""Measure what workers of a Ray cluster do per second, and what the process that starts them holds.

    python -m benchmarks.ray_workers --rows 2000 8000 --workers 1 2 4

The engine is `rehearsal`, so that a worker's time goes into planning, prompts, rehearsing, checks and the ledger. Time
is that of the CPU, since cores are shared; a worker's starts with its shard, after its imports. "Traces per second" is
what was wall time between the first and the last completion; with more workers than cores it cannot grow.
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

TICK = os.sysconf("SC_CLK_TCK")
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 8_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    options = parser.parse_args()
    results: dict[str, object] = {"machine": describe_machine()}
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


if __name__ == "__main__":
    main()
