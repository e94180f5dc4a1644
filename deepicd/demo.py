"""`deepicd demo`: the whole chain on made-up records, from synthetic notes to a dataset that loads.

Each step is the stage's own function with its ordinary arguments; the lines printed are commands that do the same.
The knowledge is made up as well: a guideline PDF (`python -m guidelines.sample.document`) and a small site of
descriptions
(`python -m scrapers.sample.site`) stand where the real ones would, and the real parser and spider read them.
"""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from deepicd import records, storage

_TINY = "a tiny model without medical knowledge"
_TEACHERS = {"rehearsal": "no model", "transformers": _TINY, "vllm": _TINY, "ray": _TINY}


@dataclass(frozen=True)
class Step:
    """A stage of the demo: the command it stands for, and what to do."""

    words: Sequence[object]
    run: Callable[[], records.Record]

    @property
    def command(self) -> str:
        return shlex.join(["deepicd", *map(str, self.words)])


@click.command()
@click.argument("out", type=click.Path(path_type=Path), default=Path("out/demo"))
@click.option("--admissions", type=click.IntRange(min=50), default=1000, show_default=True, help="How many to make up.")
@click.option("--seed", type=int, default=42, show_default=True)
@click.option("--engine", type=click.Choice(list(_TEACHERS)), default="rehearsal", show_default=True,
              help="What writes the traces: no model, or one of two million parameters.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace what another demo left in OUT.")
def demo(out: Path, admissions: int, seed: int, engine: str, overwrite: bool) -> None:
    """Run every stage on made-up records into OUT (default out/demo): no data, no network, no GPU needed.

    Prints each stage's command, what became of the rows, and how to load the dataset. A second run goes on from what
    is finished.

    \b
    deepicd demo out/demo
    """
    made: dict[str, records.Record] = {}
    for step in steps(out, admissions, seed, engine, overwrite):
        click.secho(f"$ {step.command}", bold=True, err=True)
        record = step.run()
        made[record["command"]] = record
        click.echo(f"  {record['seconds']:.1f} s", err=True)
    click.echo(report(out, engine, made))


def steps(out: Path, admissions: int, seed: int, engine: str, overwrite: bool) -> list[Step]:
    """The stages in order. Imports happen here and not above: `--help` needs none of it."""
    from builders.cohort.build import build
    from builders.cohort.criteria import Criteria
    from builders.dataset.assemble import assemble
    from builders.synthetic.generator import synthesize
    from cards.dataset_card import write_card
    from distill import recipe
    from distill.run import distill
    from guidelines.parse import make as parse_guidelines
    from guidelines.sample.document import write_sample

    mimic, cohort, written, dataset = out / "mimic", out / "cohort", out / "traces", out / "dataset"
    pdf, chapters, scraped = out / "guidelines.pdf", out / "guidelines", out / "descriptions"
    descriptions = scraped / "descriptions.parquet"

    teacher = recipe.load(Path("rehearsal" if engine == "rehearsal" else "tiny")).but(engine=engine)
    chosen = [] if engine == "rehearsal" else ["--recipe", "tiny", "--engine", engine]

    def guidelines() -> records.Record:
        if overwrite or not pdf.is_file():
            with storage.atomic_write(pdf) as tmp:
                write_sample(tmp)
        return parse_guidelines(pdf, chapters, overwrite=overwrite)

    return [
        Step(
            ["synthesize", mimic, "--admissions", admissions, "--seed", seed],
            lambda: synthesize(mimic, admissions, seed, overwrite=overwrite),
        ),
        Step(["guidelines", pdf, chapters], guidelines),
        Step(["scrape", scraped, "--codes", out / "codes.txt", "--base-url", "http://127.0.0.1"], lambda: _scrape(out)),
        Step(
            ["build", "--mimic", mimic, "--notes", mimic, cohort, "--seed", seed],
            lambda: build(mimic, mimic, cohort, Criteria(seed=seed), overwrite=overwrite),
        ),
        Step(
            ["distill", cohort, written, "--guidelines", chapters, "--descriptions", descriptions, *chosen],
            lambda: distill(
                cohort,
                written,
                teacher,
                guidelines=chapters,
                descriptions=descriptions,
                overwrite=overwrite,
            ),
        ),
        Step(
            ["assemble", "--cohort", cohort, "--traces", written, dataset],
            lambda: assemble(cohort, written, dataset, overwrite=overwrite),
        ),
        Step(["card", dataset], lambda: write_card(dataset)),
    ]


def _scrape(out: Path) -> records.Record:
    """Ask the sample site for the first diagnoses of the copy, with the real spider."""
    from builders.cohort.stays import first_codes
    from scrapers.crawl import harvest
    from scrapers.sample.site import sample_site

    codes = first_codes(out / "mimic", out / "mimic")
    storage.write_text(out / "codes.txt", "".join(f"{code}\n" for code in codes))
    with sample_site() as base_url:
        return harvest(codes, out / "descriptions", base_url=base_url)


def report(out: Path, engine: str, made: dict[str, records.Record]) -> str:
    """The closing lines: counts from notes to dataset, where it is, how to load it."""
    funnel = made["build"]["counts"]["funnel"]["steps"]
    distilled, rows = made["distill"]["counts"], made["assemble"]["counts"]["rows"]
    table: list[tuple[str, int]] = [(step["step"], step["rows"]) for step in funnel]
    table += [
        ("traces kept", sum(distilled["kept"].values())),
        ("rows without a kept trace", sum(distilled["rejected"].values())),
        ("attempts at a trace", distilled["attempts"]),
        *((f"dataset, {config}", sum(by_split.values())) for config, by_split in rows.items()),
    ]
    width = max(len(name) for name, _ in table)
    lines = [f"  {name:<{width}}  {number:>7,}" for name, number in table]
    dataset = out / "dataset"
    load = f'from datasets import load_dataset; print(load_dataset({json.dumps(str(dataset))}, "traces"))'
    return "\n".join(
        [
            "",
            *lines,
            "",
            f"Dataset: {dataset} (made-up records; traces by the engine {engine!r}, {_TEACHERS[engine]})",
            f"Card:    {dataset / 'README.md'}",
            f"Load it: python -c {shlex.quote(load)}",
        ]
    )
