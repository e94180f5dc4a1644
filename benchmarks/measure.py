"""Measure wall time and peak memory of a command in a process of its own, against a floor in the same run.

Shared machines are noisy, so each figure is the median of several rounds in which command and floor take turns; what
counts is their ratio.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).parent / "results"
HEAD = """# What was measured

Written by the benchmarks themselves; package versions are in the JSON files. Look at the ratio first: our time divided
by the other's, both measured in turns on one machine.

| ours | against | ratio | ours, s | the other, s | ours, MiB at most | when and where |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall time in seconds, peak memory in MiB, and seconds of CPU time."""

    seconds: float
    peak_mib: float
    cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A command against its floor: median times and their ratio."""

    what: str
    against: str
    seconds: float
    floor_seconds: float
    peak_mib: float
    cpu_ratio: float | None = None
    """The ratio of their CPU times, which other programs disturb less; None if not measured."""

    @property
    def ratio(self) -> float:
        return self.seconds / self.floor_seconds

    def __str__(self) -> str:
        return (
            f"{self.what}: {self.seconds:.2f} s, {self.peak_mib:.0f} MiB at most; {self.against}: "
            f"{self.floor_seconds:.2f} s; ratio {self.ratio:.2f}"
            + (f", of CPU time {self.cpu_ratio:.2f}" if self.cpu_ratio else "")
        )


def run(command: Sequence[str | Path]) -> Cost:
    """Run a command to its end. Raises RuntimeError with its error output if it fails."""
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            output.seek(0)
            raise RuntimeError(f"{command[0]} failed: {output.read().decode()[-2000:]}")
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS, in KiB on Linux
    return Cost(seconds, usage.ru_maxrss * unit / 2**20, usage.ru_utime + usage.ru_stime)


def python(code: str, *args: str | Path) -> list[str | Path]:
    """Return the command line that runs Python code in this environment."""
    return [sys.executable, "-c", code, *args]


def deepicd(*args: str | Path) -> list[str | Path]:
    """Return the command line of a deepicd command in this environment."""
    return python("import sys; from deepicd.cli import main; main(sys.argv[1:])", *args)


def settings(fields: Mapping[str, object]) -> list[str]:
    """Return the options that set these fields of a recipe."""
    return [part for name, value in fields.items() for part in ("--set", f"{name}={value}")]


def compare(
    what: str, ours: Callable[[], Cost], against: str, floor: Callable[[], Cost], rounds: int = 3
) -> Comparison:
    """Run both in turns; return the median times and our peak memory."""
    costs, floors = [], []
    for _ in range(rounds):
        floors.append(floor())
        costs.append(ours())
    floor_cpu = median(cost.cpu for cost in floors)
    return Comparison(
        what,
        against,
        median(cost.seconds for cost in costs),
        median(cost.seconds for cost in floors),
        max(cost.peak_mib for cost in costs),
        round(median(cost.cpu for cost in costs) / floor_cpu, 3) if floor_cpu else None,
    )


def record(name: str, comparisons: Sequence[Comparison], packages: Sequence[str]) -> None:
    """Print the comparisons and write them, with versions and machine, to benchmarks/results/<name>.json."""
    for comparison in comparisons:
        print(comparison, flush=True)
    RESULTS.mkdir(exist_ok=True)
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "python": platform.python_version(),
        "packages": dict(list_versions(packages)),
        "comparisons": [asdict(comparison) | {"ratio": round(comparison.ratio, 3)} for comparison in comparisons],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "README.md").write_text(format_table(), encoding="utf-8")


def write_into_doc(doc: Path, start: str, text: str, end: str) -> None:
    """Replace what stands in a page between two marks, of which the first has a line of its own."""
    before, _, rest = doc.read_text(encoding="utf-8").partition(start)
    doc.write_text(f"{before}{start}\n{text}{end}{rest.partition(end)[2]}", encoding="utf-8")


def list_versions(packages: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield name and version of the packages that are installed: vLLM for CPUs has another name than vLLM for GPUs."""
    for package in packages:
        with suppress(PackageNotFoundError):
            yield package, version(package)


def describe_machine() -> str:
    """Return system, architecture, cores and GPU."""
    card = find_gpu()
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores" + (f", {card}" if card else "")


def find_gpu() -> str | None:
    """Return the driver's name of the first GPU; None if there is none."""
    if not (tool := shutil.which("nvidia-smi")):
        return None
    command = [tool, "--query-gpu=name", "--format=csv,noheader"]
    names = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")
    return names[0].strip() or None


def format_table() -> str:
    """Return all recorded comparisons as a Markdown table."""
    lines = [HEAD]
    for path in sorted(RESULTS.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        where = f"{result.get('date')}, {result.get('machine')}"
        for row in result.get("comparisons", []):
            seconds = f"{row['seconds']:.2f} | {row['floor_seconds']:.2f}"
            peak = f"{row['peak_mib']:,.0f}"
            lines.append(f"| {row['what']} | {row['against']} | {row['ratio']:.2f} | {seconds} | {peak} | {where} |\n")
    return "".join(lines)
