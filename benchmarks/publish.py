"""`deepicd publish --what rows` against bare `upload_folder` of the same files, and the firewall in megabytes a second.

Both send to the stand-in of tests/hub_server.py on loopback, a process of its own, each to a new repository; ours also
takes every digest, runs the firewall, looks at the repository before and after, and reads what arrived in a fresh
process. The rows are those of a made-up dataset, repeated, each with a thousand random characters so that files are as
hard to pack as notes are.

Run: python -m benchmarks.publish [ROWS]
"""

import base64
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.measure import RESULTS, Comparison, Cost, compare, deepicd, python, record, run

BARE = """
import sys
from huggingface_hub import HfApi
folder, repo = sys.argv[1:]
api = HfApi()
api.create_repo(repo, repo_type="dataset", private=True)
api.upload_folder(folder_path=folder, repo_id=repo, repo_type="dataset")
"""
PACKAGES = ("huggingface_hub", "datasets", "pyarrow", "numpy")
SERVER = Path(__file__).parent.parent / "tests" / "hub_server.py"
ROUNDS = 3


def main(rows: int = 100_000) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = dataset_of(rows, folder)
        with server(folder / "hub"):
            found = [published(dataset, folder, rows)]
        record("publish", found, PACKAGES)
        rates = firewall(dataset, folder)
    path = RESULTS / "publish.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"firewall": rates}, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(rates, indent=2))


def published(dataset: Path, folder: Path, rows: int) -> Comparison:
    numbers, bare = count(), folder / "bare"
    sent = [*dataset.glob("*/*.parquet"), dataset / "README.md", *dataset.glob("card/*.png")]
    for path in sent:
        target = bare / path.relative_to(dataset)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)

    def ours() -> Cost:
        return run(deepicd("publish", dataset, f"sam/ours-{next(numbers)}", "--what", "rows"))

    def floor() -> Cost:
        return run(python(BARE, bare, f"sam/bare-{next(numbers)}"))

    size = sum(path.stat().st_size for path in sent) / 2**20
    what = f"publish, {rows:,} rows in three configs, {size:,.0f} MiB"
    return compare(what, ours, "bare upload_folder of the same files", floor, rounds=ROUNDS)


@contextmanager
def server(folder: Path) -> Iterator[None]:
    """The stand-in, and an environment that points there."""
    process = subprocess.Popen([sys.executable, str(SERVER), str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    os.environ |= {
        "HF_ENDPOINT": process.stdout.readline().strip(),
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


def dataset_of(rows: int, folder: Path) -> Path:
    """A dataset folder of so many rows a config, with its card."""
    import pyarrow.parquet as pq

    from cards.card import write_card
    from deepicd import runs, store
    from deepicd.schema import DATASET

    run(deepicd("demo", folder / "demo", "--admissions", "2000"))
    seeds = folder / "demo" / "dataset"
    told = runs.required(seeds, "assemble")
    plan = runs.Plan("assemble", {**told["options"], "rows": rows}, told["inputs"], told["lineage"])
    drawn = random.Random(42)
    with runs.fresh_folder(folder / "dataset", plan, "synthetic") as made:
        made.counts |= {"rows": {config: {"train": rows} for config in DATASET}}
        for config, schema in DATASET.items():
            known = pq.read_table(seeds / config / "train-00000-of-00001.parquet").to_pylist()
            files = -(-rows // 25_000)
            for file in range(files):
                first, last = file * 25_000, min(rows, (file + 1) * 25_000)
                part = [longer(known[n % len(known)], n, drawn) for n in range(first, last)]
                store.write_parquet(
                    made.folder / config / f"train-{file:05d}-of-{files:05d}.parquet", part, schema, "synthetic"
                )
    write_card(folder / "dataset")
    return folder / "dataset"


def longer(row: dict[str, Any], number: int, drawn: random.Random) -> dict[str, Any]:
    """The row of another note, with more text."""
    filler, note_id = base64.b64encode(drawn.randbytes(750)).decode(), f"{number}-DS-1"
    if "extra_info" in row:
        row = row | {"extra_info": row["extra_info"] | {"index": number, "note_id": note_id}}
    else:
        row = row | {"note_id": note_id}
    if "admission_note" in row:
        return row | {"admission_note": f"{row['admission_note']}\n{filler}"}
    *before, last = row["prompt"]
    return row | {"prompt": [*before, last | {"content": f"{last['content']}\n{filler}"}]}


def firewall(dataset: Path, folder: Path) -> dict[str, Any]:
    """Megabytes a second: of text searched for ids and removed words; of notes that pass by; of SHA-256, to compare."""
    import hashlib

    from cards.firewall import notes, passages
    from cards.firewall.check import check

    big, some = folder / "text" / "big.txt", []
    big.parent.mkdir()
    with big.open("wb") as file:
        for text in notes.texts(dataset / "traces"):
            file.write(text.replace(b"___", b"of a"))
            some.append(text)
    content, words = big.read_bytes(), (dataset / "README.md").read_bytes()
    wanted = [hashes for hashes, _ in passages.Runs().feed(words)]
    return {
        "text": _rate(len(content), lambda: check(big)),
        "notes": _rate(sum(map(len, some)), lambda: passages.shared(wanted[0], some)),
        "sha256": _rate(len(content), lambda: hashlib.sha256(content).digest()),
    }


def _rate(size: int, do: Any) -> dict[str, float]:
    best = min(_seconds(do) for _ in range(ROUNDS))
    return {"megabytes": round(size / 1e6, 1), "megabytes_a_second": round(size / 1e6 / best, 1)}


def _seconds(do: Any) -> float:
    clock = time.perf_counter()
    do()
    return time.perf_counter() - clock


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
