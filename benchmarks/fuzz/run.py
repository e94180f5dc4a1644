"""Feed every reader of deepicd with bad inputs and write down what came of it. Run: python -m benchmarks.fuzz.run

Each reader runs in a process of its own, since what is looked for includes an end of the process. Inputs follow from
`--seed`, so that a defect can be made again: `--only NAME --seed N`.
"""

import json
import multiprocessing
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click

from benchmarks import measure
from benchmarks.fuzz.readers import Reader, list_readers, run_reader

SLOW = 60.0  # seconds for one input


@dataclass(frozen=True)
class Result:
    inputs: int
    defects: dict[str, str]
    """Kind and place → an example of it."""


@click.command()
@click.option("--inputs", default=100_000, show_default=True, help="For each reader; fewer for slow ones.")
@click.option("--minutes", default=600.0, help="End a reader after this time.")
@click.option("--seed", default=0)
@click.option("--only", default="", help="Names that contain this.")
@click.option("--demo", type=click.Path(path_type=Path), help="Output of `deepicd demo`; made if not given.")
@click.option("--save", is_flag=True, help="Write benchmarks/results/fuzz.json.")
def main(inputs: int, minutes: float, seed: int, only: str, demo: Path | None, save: bool) -> None:
    """Feed every reader with bad inputs; exit with 1 if one of them ends in an error that is none of ours."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        demo = demo or make_demo(scratch / "demo")
        results: dict[str, Result] = {}
        for reader in list_readers(demo, scratch / "inputs"):
            if only in reader.name:
                results[reader.name] = result = _run(reader, max(20, inputs // reader.slowness), minutes, seed)
                click.echo(f"{reader.name}: {result}", err=True)
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


def _run(reader: Reader, inputs: int, minutes: float, seed: int) -> Result:
    """Run a reader in a fork; a defect is an error, a slow input or the end of the process."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_feed, args=(reader, inputs, minutes, seed, theirs))
    process.start()
    theirs.close()
    done, defects, ended = 0, dict[str, str](), False
    try:
        while not ended:
            kind, value = ours.recv()
            if kind == "defect":
                defects.setdefault(*value)
            else:
                done, ended = value, kind == "end"
    except EOFError:
        process.join()
        defects[f"the process ended with {process.exitcode}"] = f"after {done:,} inputs"
    process.join()
    return Result(done, defects)


def _feed(reader: Reader, inputs: int, minutes: float, seed: int, out: Connection) -> None:
    rng, end, number = random.Random(f"{reader.name} {seed}"), time.monotonic() + 60 * minutes, 0
    for number in range(1, inputs + 1):
        started = time.monotonic()
        error = run_reader(reader, rng)
        now = time.monotonic()
        if error is not None:
            out.send(("defect", (_name(error), f"{error!s:.200}\n{error.__notes__[-1]}")))
        elif now - started > SLOW:
            out.send(("defect", ("slow", f"{now - started:.0f} s at input {number:,}")))
        if number % 1000 == 0:
            out.send(("done", number))
        if now > end:
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
