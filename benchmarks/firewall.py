"""What the firewall costs, in MB/s of text, beside the same search without its reading as a reader would.

The floor reads the same bytes in the same blocks and makes the same two searches, for ids and for runs of eight words,
in the text as it stands: no normalisation, no second reading without tags, hyphens, columns or frequent words. That is
the firewall as it was before it read what Word, browsers and exports make of a note; half of its speed is the goal. To
the floor, words between no-break spaces are one, so its figure for Word is that of a search that finds nothing.

Run: python -m benchmarks.firewall [MEGABYTES]
"""

import json
import random
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.measure import RESULTS, describe_machine
from cards.firewall import passages, patterns
from cards.firewall.check import check_files
from cards.firewall.content_origin import OutgoingFile
from cards.firewall.note_search import read_notes
from deepicd import storage
from deepicd.schema import COHORT

ROUNDS = 4
GOAL = 0.5  # of the floor's speed
BLOCK = 2**18  # bytes, as the firewall reads


def main(megabytes: float = 8.0) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        notes = write_notes(folder / "notes", [*prose(4_000)])
        rates = {}
        for what, text in write_texts([*prose(int(megabytes * 160_000))]):
            path = folder / ("a.html" if "HTML" in what else "a.md")
            path.write_bytes(text)
            rates[what] = measure(path, notes)
    result = {"machine": describe_machine(), "goal": GOAL, "texts": rates}
    (RESULTS / "firewall.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


def prose(number: int) -> Iterator[str]:
    """Yield made-up words with the frequencies of a natural language."""
    rng = random.Random(42)
    words = ["".join(rng.choices("etaoinshrdlucmfwypvbgk", k=rng.randint(2, 11))) for _ in range(20_000)]
    yield from rng.choices(words, [1 / (place + 10) for place in range(len(words))], k=number)


def write_texts(words: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the same words as programs write them."""
    lines = [line.split(" ") for line in textwrap.wrap(" ".join(words), 90)]
    yield "plain", "\n".join(" ".join(line) for line in lines).encode()
    yield "Word: no-break spaces, quotes, dashes", "\n".join("\u00a0".join(line) + " \u2013" for line in lines).encode()
    yield "HTML: tags and entities", "\n".join(f"<p>{'&nbsp;'.join(line)}</p>" for line in lines).encode()
    yield "CoNLL: one word per line", "\n".join(f"{word}\tO" for word in words).encode()


def write_notes(folder: Path, words: list[str]) -> Path:
    row = dict.fromkeys(COHORT.names) | {"admission_note": " ".join(words)}
    folder.mkdir()
    storage.write_parquet(folder / "train.parquet", [row], COHORT, "mimic")
    return folder


def measure(path: Path, notes: Path) -> dict[str, float]:
    """Return MB/s of the firewall and of the floor, best of several rounds in turn, and their ratio.

    Without what a file of twenty words takes, which is mostly reading the notes.
    """
    size, empty = path.stat().st_size / 1e6, path.with_name("empty.md")
    empty.write_text(" ".join(prose(20)) + "\n")
    seconds: dict[str, list[float]] = {"ours": [], "floor": [], "ours, empty": [], "floor, empty": []}
    check(empty, notes)  # the titles are hashed once
    for _ in range(ROUNDS):
        for ending, file in (("", path), (", empty", empty)):
            seconds[f"ours{ending}"].append(_time(lambda file=file: check(file, notes)))  # type: ignore[misc]
            seconds[f"floor{ending}"].append(_time(lambda file=file: search_plainly(file, notes)))  # type: ignore[misc]
    ours, floor = (min(seconds[who]) - min(seconds[f"{who}, empty"]) for who in ("ours", "floor"))
    return {
        "megabytes": round(size, 1),
        "megabytes_a_second": round(size / ours, 2),
        "floor_megabytes_a_second": round(size / floor, 2),
        "share_of_the_floor": round(floor / ours, 2),
    }


def check(path: Path, notes: Path) -> object:
    return check_files([OutgoingFile(path.name, path, None)], notes_from=[notes])


def search_plainly(path: Path, notes: Path) -> object:
    runs, found, number = passages.WordRuns(), [], 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            block += file.readline()
            number += sum(1 for _ in patterns.find_patterns(block))
            found += [hashes for hashes, _ in runs.feed(block)]
    return number, passages.find_shared(np.concatenate(found), read_notes(notes))


def _time(work: Callable[[], object]) -> float:
    clock = time.process_time()
    work()
    return time.process_time() - clock


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
