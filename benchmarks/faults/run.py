"""Try every fault on every stage and write docs/reliability.md. Run: make faults (ROUNDS=3; some minutes per round)

`--stage NAME` tries one stage and leaves the figures of the others as they are.
"""

import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks import measure
from benchmarks.faults.faults import FAULTS, NAMESPACE, Fault, Trial, run
from benchmarks.faults.stages import open_stages

RESULTS = measure.RESULTS / "faults.json"
PAGE = Path(__file__).parent.parent.parent / "docs" / "reliability.md"
GOOD = ("right", "refused", "stopped", "another input")
INTRODUCTION = """# What faults do to a run

Written by `make faults`: every stage on a demo of 60 made-up admissions, under each of these faults, at random moments
and places. A run that met a fault has to end with the right output, compared file by file and row by row with an
undisturbed run, or with an error message of ours (exit code 1, 2 or 130, no traceback). Where the fault is over
afterwards (a kill, a full disk), the same command has then to end with the right output.

| fault | how it is made |
|---|---|
| kill -9, twice | `SIGKILL` at a random moment, the same command killed once more, then a run to the end |
| SIGTERM twice | at a random moment and up to 0.3 s later, then a run to the end |
| full disk | OUT and temporary files on a file system with room for 0 to 130 % of the output, then with room |
| read-only disk | the same, read-only |
| two runs at once | two processes, one command, one OUT |
| input cut or bit flipped | each kind of input cut off at a random byte, and with one bit flipped |
| clock set back | a killed run is continued a year before it began (`faketime`) |
| closed pipe | nobody reads standard output and error |

A cell counts ends: *right* output (after the fault, or after a rerun), *refused* with an error of ours, *another input*
where a damaged file without a checksum is another good one (a list of codes that was cut short), and *defects*.
"""
CLOSING = """
`publish` and `physionet fetch` talk to the servers of our tests, on loopback; the client meets the fault, and their own
tests break the connection. `report` stands for `view`, which serves the same pages and writes nothing, and
`review import` for the forms of `review rate`, which are written by the same function. Ray workers run
the rehearsal, on a cluster of their own. There are stages of vLLM and of training by TRL with the shipped tiny model,
where these are installed; they have met no fault yet, and verl has none.

Bad inputs are tried apart, by `make fuzz` (`benchmarks/results/fuzz.json`): 15,355,061 of them in
seven runs through 65 readers. All tracebacks that they found were mended, each with a test; the last run, after that,
was of 7,875,610 inputs and found none.

What this cannot show: power cuts (files are synced before they are renamed), file servers (see the leases in
`deepicd/lease.py`), and flipped bits in sources without checksums. A PDF, a list of codes and a file of predictions
are taken as they are; an uncompressed copy of MIMIC is covered by `deepicd physionet verify`.
"""


Table = dict[str, dict[str, dict[str, int]]]
"""Stage → fault → how runs ended, with their number."""


@click.command()
@click.option("--rounds", default=1, show_default=True, help="Trials of each fault on each stage.")
@click.option("--seed", default=0)
@click.option("--stage", "chosen", multiple=True, help="This stage alone; the figures of others stay. May be repeated.")
@click.option("--fault", "made", multiple=True, type=click.Choice(list(FAULTS)), help="This fault alone.")
def main(rounds: int, seed: int, chosen: tuple[str, ...], made: tuple[str, ...]) -> None:
    """Try every fault on every stage and write the page; exit with 1 if there are defects."""
    faults = {fault: make for fault, make in FAULTS.items() if _can_make(fault) and (not made or fault in made)}
    with tempfile.TemporaryDirectory() as name, open_stages(Path(name) / "demo") as stages:
        for place, stage in enumerate(stages.values()):
            if not chosen or stage.name in chosen:
                # a short path: Ray puts its sockets below it
                trial = Trial(stage, Path(name) / str(place), random.Random(f"{seed} {stage.name}"))
                trial.measure()
                ends = {fault: _count_ends(make, trial, rounds) for fault, make in faults.items()}
                save(stage.name, list(stages), ends)
                click.echo(f"{stage.name}: { ({fault: dict(counted) for fault, counted in ends.items()}) }", err=True)
    results = json.loads(RESULTS.read_text())
    PAGE.write_text(format_page(results))
    defects = list_defects(results["stages"])
    click.echo("\n".join(defects) or "No defects.")
    sys.exit(1 if defects else 0)


def _count_ends(make: Fault, trial: Trial, rounds: int) -> Counter[str]:
    return Counter(end for _ in range(rounds) for end in make(trial))


def save(stage: str, order: list[str], ends: Mapping[str, Mapping[str, int]]) -> None:
    """Put the figures of a stage in place of earlier ones."""
    table: Table = json.loads(RESULTS.read_text())["stages"] if RESULTS.exists() else {}
    table[stage] = table.get(stage, {}) | {fault: dict(counted) for fault, counted in ends.items()}
    names = [*(name for name in order if name in table), *(name for name in table if name not in order)]
    results = {"machine": measure.describe_machine(), "stages": {name: table[name] for name in names}}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def list_defects(table: Table) -> list[str]:
    return [
        f"- {stage}, {fault}: {end}{f' ({times} times)' if times > 1 else ''}"
        for stage, row in table.items()
        for fault, ends in row.items()
        for end, times in ends.items()
        if end not in GOOD
    ]


def _can_make(fault: str) -> bool:
    if fault == "clock set back":
        return shutil.which("faketime") is not None
    return "disk" not in fault or run([*NAMESPACE, "true"]).code == 0


def format_page(results: Mapping[str, Any]) -> str:
    table: Table = results["stages"]
    total = sum((Counter(ends) for row in table.values() for ends in row.values()), Counter[str]())
    bad = sum(times for end, times in total.items() if end not in GOOD)
    figures = (
        f"\n{total.total():,} ends: {total['right']:,} with the right output, {total['refused'] + total['stopped']:,}"
        f" refused or stopped in words, {total['another input']} with another input, {bad} defects."
        f" {results['machine']}.\n\n"
    )
    lines = [f"| stage | {' | '.join(FAULTS)} |", f"|---|{'---|' * len(FAULTS)}"]
    lines += [
        f"| {stage} | {' | '.join(_format_cell(Counter(row.get(fault, {}))) for fault in FAULTS)} |"
        for stage, row in table.items()
    ]
    defects = list_defects(table)
    found = "\nDefects:\n\n" + "\n".join(defects) + "\n" if defects else ""
    return INTRODUCTION + figures + "\n".join(lines) + "\n" + found + CLOSING


def _format_cell(ends: Counter[str]) -> str:
    bad = sum(times for end, times in ends.items() if end not in GOOD)
    parts = [
        (ends["right"], "right"),
        (ends["refused"] + ends["stopped"], "refused"),
        (ends["another input"], "another input"),
        (bad, "**defects**"),
    ]
    return ", ".join(f"{number} {word}" for number, word in parts if number) or "–"


if __name__ == "__main__":
    main()
