"""A distillation that is killed again and again, in a process of its own."""

import random
import subprocess
import sys
import time
from pathlib import Path

from deepicd import records

RECIPE = "{engine: rehearsal, model: none}"


def command(cohort: Path, out: Path) -> list[str | Path]:
    recipe = out.parent / "killed.yaml"
    recipe.write_text(RECIPE)
    return [sys.executable, "-m", "deepicd", "distill", cohort, out, "--recipe", recipe]


def kill_until_done(cohort: Path, out: Path, kills: int, longest: float, seed: int = 0) -> int:
    """Start the run over and over, killing it (SIGKILL) at random moments after it has begun to write; the times that a
    kill struck a run at work. The last run is left to end."""
    moments, struck = random.Random(seed), 0
    for _ in range(kills):
        before = _lines(out)
        with subprocess.Popen(command(cohort, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and _lines(out) == before:
                time.sleep(0.01)
            time.sleep(moments.uniform(0, longest))
            struck += process.poll() is None
            process.kill()
    subprocess.run(command(cohort, out), check=True, capture_output=True)
    return struck


def _lines(out: Path) -> int:
    """Bytes of the ledger, as a sign of life."""
    return sum(path.stat().st_size for path in (out / "ledger").glob("*.jsonl"))


def outputs(out: Path) -> dict[str, str]:
    """Digests of what the one recipe of a folder has left."""
    [folder] = [path.parent for path in out.glob("*/run.json")]
    record = records.read(folder)
    if record is None:
        raise RuntimeError(f"{folder} has no record.")
    return {name: entry.sha256 for name, entry in record.outputs.items()}
