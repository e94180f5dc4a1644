"""Timing a command in a process of its own: wall seconds and peak memory, beside a floor measured in the same run.

Shared machines are noisy, so each figure is the median of several rounds in which command and floor take turns, and
what counts is their ratio.
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

Written by the benchmarks themselves; versions stand in the JSON files. The ratio is the one figure to look at: our time
over that of what it is held against, both measured in turns on one machine.

| ours | against | ratio | ours, s | the other, s | ours, MiB at most | when and where |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall seconds, and the most memory that the process held (MiB)."""

    seconds: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """A command against its floor: medians, and the ratio that a reader should look at."""

    what: str
    against: str
    seconds: float
    floor_seconds: float
    peak_mib: float

    @property
    def ratio(self) -> float:
        return self.seconds / self.floor_seconds

    def __str__(self) -> str:
        return (
            f"{self.what}: {self.seconds:.2f} s, {self.peak_mib:.0f} MiB at most; {self.against}: "
            f"{self.floor_seconds:.2f} s; ratio {self.ratio:.2f}"
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
    return Cost(seconds, usage.ru_maxrss * unit / 2**20)


def python(code: str, *args: str | Path) -> list[str | Path]:
    """The command line that runs a piece of Python in this environment."""
    return [sys.executable, "-c", code, *args]


def deepicd(*args: str | Path) -> list[str | Path]:
    """The command line of one of our own commands, in this environment."""
    return python("import sys; from deepicd.cli import main; main(sys.argv[1:])", *args)


def settings(fields: Mapping[str, object]) -> list[str]:
    """The flags of a command that give a recipe these fields."""
    return [part for name, value in fields.items() for part in ("--set", f"{name}={value}")]


def compare(
    what: str, mine: Callable[[], Cost], against: str, floor: Callable[[], Cost], rounds: int = 3
) -> Comparison:
    costs, floors = [], []
    for _ in range(rounds):
        floors.append(floor().seconds)
        costs.append(mine())
    return Comparison(
        what, against, median(cost.seconds for cost in costs), median(floors), max(cost.peak_mib for cost in costs)
    )


def record(name: str, comparisons: Sequence[Comparison], packages: Sequence[str]) -> None:
    """Print the comparisons and keep them, with versions and machine, in benchmarks/results/<name>.json."""
    for comparison in comparisons:
        print(comparison, flush=True)
    RESULTS.mkdir(exist_ok=True)
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "python": platform.python_version(),
        "packages": dict(versions(packages)),
        "comparisons": [asdict(comparison) | {"ratio": round(comparison.ratio, 3)} for comparison in comparisons],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "README.md").write_text(table(), encoding="utf-8")


def versions(packages: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Of those that are installed: vLLM for a CPU has another name than vLLM for a GPU."""
    for package in packages:
        with suppress(PackageNotFoundError):
            yield package, version(package)


def machine() -> str:
    card = gpu()
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores" + (f", {card}" if card else "")


def gpu() -> str | None:
    """The first GPU's name, as its driver gives it; None without one."""
    if not (tool := shutil.which("nvidia-smi")):
        return None
    asked = [tool, "--query-gpu=name", "--format=csv,noheader"]
    names = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split("\n")
    return names[0].strip() or None


def table() -> str:
    """All comparisons that were kept, as Markdown."""
    lines = [HEAD]
    for path in sorted(RESULTS.glob("*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        where = f"{kept.get('date')}, {kept.get('machine')}"
        for one in kept.get("comparisons", []):
            seconds = f"{one['seconds']:.2f} | {one['floor_seconds']:.2f}"
            peak = f"{one['peak_mib']:,.0f}"
            lines.append(f"| {one['what']} | {one['against']} | {one['ratio']:.2f} | {seconds} | {peak} | {where} |\n")
    return "".join(lines)
