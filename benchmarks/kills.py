"""Kill a distillation again and again, in a process of its own."""

import random
import subprocess
import sys
import time
from pathlib import Path

from deepicd import records

RECIPE = "{engine: rehearsal, model: none}"


def build_command(cohort: Path, out: Path) -> list[str | Path]:
    """Return the command line of a distillation; its recipe is written beside `out`."""
    recipe = out.parent / "killed.yaml"
    recipe.write_text(RECIPE)
    return [sys.executable, "-m", "deepicd", "distill", cohort, out, "--recipe", recipe]


def kill_until_done(cohort: Path, out: Path, kills: int, longest: float, seed: int = 0) -> int:
    """Kill the run `kills` times (SIGKILL), each time at a random moment after it has begun to write; then let it end.

    Return how many kills hit a run that was still working.
    """
    rng, hits = random.Random(seed), 0
    command = build_command(cohort, out)
    for _ in range(kills):
        before = _measure_ledger(out)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and _measure_ledger(out) == before:
                time.sleep(0.01)
            time.sleep(rng.uniform(0, longest))
            hits += process.poll() is None
            process.kill()
    subprocess.run(command, check=True, capture_output=True)
    return hits


def _measure_ledger(out: Path) -> int:
    """Return the bytes of the ledger, which grow while a run is working."""
    return sum(path.stat().st_size for path in (out / "ledger").glob("*.jsonl"))


def digest_outputs(out: Path) -> dict[str, str]:
    """Return name → SHA-256 of the outputs of the only recipe in a folder."""
    [folder] = [path.parent for path in out.glob("*/run.json")]
    record = records.read(folder)
    if record is None:
        raise RuntimeError(f"{folder} has no record.")
    return {name: entry.sha256 for name, entry in record.outputs.items()}
