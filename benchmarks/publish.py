"""Compare `deepicd publish --what rows` with a bare `upload_folder` of the same files.

Both run as whole processes, as a user starts them, and send to the stand-in server of tests/hub_server.py, a process of
its own on this machine, each to a new repository. Ours also computes every digest before anything is sent, runs the
firewall, reads the repository before and after, and has a fresh process read back what arrived. "By hand" is the bare
upload followed by `load_dataset` of each config in a fresh process, which reads one row per config without comparing.

The rows are those of a made-up dataset, repeated: once as short notes (1,000 random characters each, which compress as
badly as notes do), and once at the length of the notes in MIMIC-IV-Note.

Expect one second of processor time more than the bare upload's 1.2 s (short notes, including the server's share),
whatever the size: 0.85 s of it is the fresh process, mostly `import datasets`. Over loopback on two cores client and
server keep both busy, so ours takes about 1.5 times the bare upload. A gigabit line, which the stand-in can imitate,
leaves the cores idle, as every real line does; what remains is computing digests before the upload and reading back.

Run: python -m benchmarks.publish [ROWS]
"""

import base64
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.measure import Comparison, Cost, compare, deepicd, python, record, run

BARE = """
import sys
from huggingface_hub import HfApi
folder, repo = sys.argv[1:]
api = HfApi()
api.create_repo(repo, repo_type="dataset", private=True)
api.upload_folder(folder_path=folder, repo_id=repo, repo_type="dataset")
"""
MAKE = """
import sys
from pathlib import Path
from benchmarks import publish
rows, folder, seeds, filler = sys.argv[1:]
publish.write_dataset(int(rows), Path(folder), Path(seeds), getattr(publish, filler)())
"""
BY_HAND = (
    BARE
    + """
import subprocess
again = "import sys, datasets; [next(iter(datasets.load_dataset(sys.argv[1], config, split='train', streaming=True)))"
again += " for config in ('traces', 'sft', 'grpo')]; import os; os._exit(0)"
subprocess.run([sys.executable, "-c", again, repo], check=True)
"""
)
GIGABIT = 125e6  # bytes per second
PACKAGES = ("huggingface_hub", "datasets", "pyarrow", "numpy")
SERVER = Path(__file__).parent.parent / "tests" / "hub_server.py"
ROUNDS = 5
LONG = 9_000  # characters to add to a made-up note of 1,500: those of MIMIC-IV-Note have about 10,500 on average
Filler = Iterator[str]
Command = Sequence[str | Path]


def main(rows: int = 100_000) -> None:
    comparisons = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(deepicd("demo", folder / "demo", "--admissions", "2000"))
        short, long = folder / "short" / "dataset", folder / "long" / "dataset"
        for out, filler in ((short, "incompressible"), (long, "prose")):  # in a child: children inherit our peak memory
            run(python(MAKE, str(rows), out.parent, folder / "demo" / "dataset", filler))
        with server(folder / "hub"):
            comparisons += compare_uploads(short, folder / "hub", f"publish, {rows:,} rows in three configs")
            comparisons += compare_uploads(
                long, folder / "hub", f"publish, {rows:,} rows in three configs, notes of 10,700 characters"
            )
        with server(folder / "hub", GIGABIT):
            comparisons += compare_uploads(
                short, folder / "hub", f"publish over a gigabit line, {rows:,} rows in three configs"
            )
        record("publish", comparisons, PACKAGES)


def compare_uploads(dataset: Path, hub: Path, what: str) -> list[Comparison]:
    """Compare ours with the bare upload, and with the same done by hand."""
    numbers, bare = count(), dataset.with_name("bare")
    files = [*dataset.glob("*/*.parquet"), dataset / "README.md", *dataset.glob("card/*.png")]
    for path in files:
        target = bare / path.relative_to(dataset)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(path)

    def measure(command: Command) -> Cost:
        cost = run(command)
        for path in hub.glob("?" * 64):  # uploaded objects; otherwise the disk is still busy with the last round
            path.unlink()
        return cost

    def ours() -> Cost:
        return measure(deepicd("publish", dataset, f"sam/{dataset.parent.name}-{time.time_ns()}", "--what", "rows"))

    def theirs(code: str) -> Cost:
        return measure(python(code, bare, f"sam/bare-{time.time_ns()}-{next(numbers)}"))

    what += f", {sum(path.stat().st_size for path in files) / 2**20:,.0f} MiB"
    return [
        compare(what, ours, "bare upload_folder of the same files", lambda: theirs(BARE), rounds=ROUNDS),
        compare(what, ours, "upload_folder, then load_dataset by hand", lambda: theirs(BY_HAND), rounds=ROUNDS),
    ]


@contextmanager
def server(folder: Path, line: float = float("inf")) -> Iterator[None]:
    """Run the stand-in behind a line of `line` bytes per second, and point the environment there."""
    command = [sys.executable, str(SERVER), str(folder), str(line)]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # users have our modules compiled, like those of libraries
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    address = process.stdout.readline().strip() if process.stdout else ""
    if not address:
        raise RuntimeError("The stand-in server did not start.")
    os.environ |= {
        "HF_ENDPOINT": address,
        "HF_TOKEN": "hf_write",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(folder / "home"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    try:
        yield
    finally:
        process.kill()
        process.wait()


def write_dataset(rows: int, folder: Path, seeds: Path, filler: Filler) -> Path:
    """Write a dataset folder and its card, with `rows` rows per config, repeated from `seeds` and lengthened."""
    import pyarrow.parquet as pq

    from cards.dataset_card import write_card
    from deepicd import records, storage
    from deepicd.schema import DATASET
    from deepicd.stage_records import AssembleCounts, AssembleRecord

    seeds_record = records.require(seeds, AssembleRecord)
    plan = replace(
        records.plan_run(AssembleRecord, options={**seeds_record.options, "rows": rows}, inputs={}),
        inputs=seeds_record.inputs,
        lineage=seeds_record.lineage,
    )
    with records.open_fresh_folder(folder / "dataset", plan, "synthetic") as made:
        made.counts = AssembleCounts(rows={config: {"train": rows} for config in DATASET})
        for config, schema in DATASET.items():
            known = pq.read_table(seeds / config / "train-00000-of-00001.parquet").to_pylist()
            files = -(-rows // 25_000)
            for file in range(files):
                first, last = file * 25_000, min(rows, (file + 1) * 25_000)
                part = [lengthen(known[n % len(known)], n, next(filler)) for n in range(first, last)]
                storage.write_parquet(
                    made.folder / config / f"train-{file:05d}-of-{files:05d}.parquet", part, schema, "synthetic"
                )
    write_card(folder / "dataset")
    return folder / "dataset"


def incompressible() -> Filler:
    """Yield a thousand random characters each time."""
    rng = random.Random(42)
    while True:
        yield base64.b64encode(rng.randbytes(750)).decode()


def prose() -> Filler:
    """Yield the text that a made-up note lacks: made-up words with the frequencies of a natural language."""
    rng = random.Random(42)
    words = ["".join(rng.choices("etaoinshrdlucmfwypvbgk", k=rng.randint(2, 11))) for _ in range(20_000)]
    text = " ".join(rng.choices(words, [1 / (place + 10) for place in range(len(words))], k=5_000_000))
    while True:
        start = rng.randrange(len(text) - LONG)
        yield text[start : start + LONG]


def lengthen(row: dict[str, Any], number: int, filler: str) -> dict[str, Any]:
    """Return the row as that of another note, with more text."""
    note_id = f"{number}-DS-1"
    if "extra_info" in row:
        row = row | {"extra_info": row["extra_info"] | {"index": number, "note_id": note_id}}
    else:
        row = row | {"note_id": note_id}
    if "admission_note" in row:
        return row | {"admission_note": f"{row['admission_note']}\n{filler}"}
    *before, last = row["prompt"]
    return row | {"prompt": [*before, last | {"content": f"{last['content']}\n{filler}"}]}


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
