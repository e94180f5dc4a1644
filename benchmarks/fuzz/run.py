"""Feed every reader of deepicd with bad inputs and write down what came of it. Run: python -m benchmarks.fuzz.run

Each reader runs in a process of its own, since what is looked for includes an end of the process. Inputs follow from
`--seed`, so that a defect can be made again: `--only NAME --seed N`.

All readers get the same time, so that quick ones read the most: with `--minutes 25` on two cores, some 50 seconds each.
Files are written to memory where the system has a folder there.
"""

import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import click

from benchmarks import measure
from benchmarks.fuzz.reader import Reader, run_reader
from benchmarks.fuzz.readers import list_readers

SLOW = 60.0  # seconds of CPU for one input: on a busy machine the clock runs on without it
MEMORY = Path("/dev/shm")  # noqa: S108


@dataclass
class Result:
    inputs: int = 0
    defects: dict[str, str] = field(default_factory=dict)
    """Kind and place → an example of it."""
    ended: bool = False


@dataclass(frozen=True)
class Budget:
    """How many inputs a reader gets, and for how many seconds."""

    inputs: int
    seconds: float
    seed: int


@click.command()
@click.option("--inputs", type=int, help="For each reader; fewer for slow ones.  [default: as many as time allows]")
@click.option("--minutes", type=float, help="For all readers together.  [default: as long as the inputs take]")
@click.option("--jobs", default=2, show_default=True, help="Readers at the same time.")
@click.option("--seed", default=0)
@click.option("--only", default="", help="Names that contain this.")
@click.option("--demo", type=click.Path(path_type=Path), help="Output of `deepicd demo`; made if not given.")
@click.option("--save", is_flag=True, help="Write benchmarks/results/fuzz.json.")
def main(
    inputs: int | None, minutes: float | None, jobs: int, seed: int, only: str, demo: Path | None, save: bool
) -> None:
    """Feed every reader with bad inputs; exit with 1 if one of them ends in an error that is none of ours."""
    inputs = inputs or (10**9 if minutes else 100_000)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        scratch = Path(folder)
        demo = demo or make_demo(scratch / "demo")
        readers = [reader for reader in list_readers(demo, scratch / "inputs") if only in reader.name]
        seconds = 60 * minutes * jobs / len(readers) if minutes and readers else float("inf")
        results: dict[str, Result] = {}
        for reader, result in _run_all(readers, jobs, Budget(inputs, seconds, seed)):
            results[reader.name] = result
            click.echo(f"{reader.name}: {result.inputs:,} inputs {result.defects or ''}", err=True)
    total = sum(result.inputs for result in results.values())
    defects = sum(len(result.defects) for result in results.values())
    click.echo(f"{total:,} inputs, {len(results)} readers, {defects} defects")
    if save:
        write_results(results, seed)
    sys.exit(1 if defects else 0)


def make_demo(out: Path) -> Path:
    from deepicd.demo import list_steps

    for step in list_steps(out, 100, 42, engine="rehearsal", overwrite=False):
        step.run()
    return out


def write_results(results: dict[str, Result], seed: int) -> None:
    """Add these figures to those of earlier runs with other seeds."""
    path = measure.RESULTS / "fuzz.json"
    value: Any = json.loads(path.read_text()) if path.exists() else {"machine": measure.describe_machine(), "seeds": {}}
    value["seeds"][str(seed)] = {
        name: {"inputs": it.inputs, "defects": len(it.defects)} for name, it in results.items()
    }
    value["total"] = sum(it["inputs"] for readers in value["seeds"].values() for it in readers.values())
    value["defects"] = sum(it["defects"] for readers in value["seeds"].values() for it in readers.values())
    path.write_text(json.dumps(value, indent=1) + "\n")


def _run_all(readers: Sequence[Reader], jobs: int, budget: Budget) -> Iterator[tuple[Reader, Result]]:
    """Run each reader in a fork, `jobs` at a time; a defect is an error, a slow input or the end of the process."""
    waiting = list(reversed(readers))
    running: dict[Connection, tuple[Reader, BaseProcess, Result]] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            reader = waiting.pop()
            ours, process = _start(reader, budget)
            running[ours] = reader, process, Result()
        for ready in wait(running):
            ours = next(connection for connection in running if connection is ready)
            reader, process, result = running[ours]
            if not _receive(ours, process, result):
                process.join()
                del running[ours]
                yield reader, result


def _start(reader: Reader, budget: Budget) -> tuple[Connection, BaseProcess]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_feed, args=(reader, budget, theirs))
    process.start()
    theirs.close()
    return ours, process


def _receive(ours: Connection, process: BaseProcess, result: Result) -> bool:
    """Add a message of a reader to its result; return whether more follow."""
    try:
        kind, value = ours.recv()
    except EOFError:
        process.join()
        if not result.ended:
            result.defects[f"the process ended with {process.exitcode}"] = f"after {result.inputs:,} inputs"
        return False
    if kind == "defect":
        result.defects.setdefault(*value)
    else:
        result.inputs, result.ended = value, kind == "end"
    return True


def _feed(reader: Reader, budget: Budget, out: Connection) -> None:
    rng, end = random.Random(f"{reader.name} {budget.seed}"), time.monotonic() + budget.seconds
    number = 0
    for number in range(1, max(20, budget.inputs // reader.slowness) + 1):
        started = time.process_time()
        error = run_reader(reader, rng)
        taken = time.process_time() - started
        if error is not None:
            out.send(("defect", (_name(error), f"{error!s:.200}\n{error.__notes__[-1]}")))
        elif taken > SLOW:
            out.send(("defect", ("slow", f"{taken:.0f} s at input {number:,}")))
        if number % 1000 == 0:
            out.send(("done", number))
        if time.monotonic() > end:
            break
    out.send(("end", number))


def _name(error: BaseException) -> str:
    """Return kind and place of an error: two inputs that fail there are one defect."""
    trace = error.__traceback__
    place = ""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "site-packages" not in name and "/lib/python" not in name:
            place = f"{Path(name).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}"


if __name__ == "__main__":
    main()
