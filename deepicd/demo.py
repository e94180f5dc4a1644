"""`deepicd demo`: every stage on made-up records, from synthetic notes to a dataset that loads.

Each step calls the stage's own function with its ordinary arguments and logs the command that does the same. The
sources are made up, too: the real parser reads a sample guideline PDF (`python -m guidelines.sample.document`), and the
real spider reads a sample site of descriptions (`python -m scrapers.sample.site`).
"""

import json
import logging
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deepicd import json_output, storage

if TYPE_CHECKING:
    from deepicd.records import Record

logger = logging.getLogger(__name__)

_TINY = "a tiny model without medical knowledge"
_TEACHERS = {"rehearsal": "no model", "transformers": _TINY, "vllm": _TINY, "ray": _TINY}


@dataclass(frozen=True)
class Step:
    """A step of the demo: the arguments of the command, and the function that does the same."""

    arguments: Sequence[object]
    run: Callable[[], "Record"]

    @property
    def command(self) -> str:
        return shlex.join(["deepicd", *map(str, self.arguments)])


@click.command()
@click.argument("out", type=click.Path(path_type=Path), default=Path("out/demo"))
@click.option(
    "--admissions", type=click.IntRange(min=50), default=1000, show_default=True, help="Number of made-up admissions."
)
@click.option("--seed", type=int, default=42, show_default=True, help="Same seed, same records.")
@click.option("--engine", type=click.Choice(list(_TEACHERS)), default="rehearsal", show_default=True,
              help="What writes the traces: no model (rehearsal), or one of two million parameters.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace the output of another demo in OUT.")
def demo(out: Path, admissions: int, seed: int, engine: str, overwrite: bool) -> None:
    """Run every stage on made-up records into OUT (default out/demo). Needs no data, no network and no GPU.

    Prints the command of each stage, the number of rows after each step, and how to load the dataset. A second run
    continues from what is finished.

    \b
    deepicd demo out/demo
    """
    runs: dict[str, Record] = {}
    for step in list_steps(out, admissions, seed, engine=engine, overwrite=overwrite):
        logger.info("$ %s", step.command)
        record = step.run()
        runs[record.command] = record
        logger.info("  %.1f s", record.seconds)
    counts = {command: record.counts.dump() for command, record in runs.items()}
    json_output.offer({"dataset": str(out / "dataset"), "counts": counts})
    click.echo(summarize(out, engine, runs))


def list_steps(out: Path, admissions: int, seed: int, *, engine: str, overwrite: bool) -> list[Step]:
    """Return the steps in order. Stages are imported here, so that `--help` stays instant."""
    from builders.cohort.build import build
    from builders.cohort.criteria import Criteria
    from builders.dataset.assemble import AssembleOptions, assemble
    from builders.synthetic.synthesize import synthesize
    from cards.dataset_card import write_card
    from distill import recipe
    from distill.run import distill
    from distill.verification.recipe import load_recipe as load_verify_recipe
    from distill.verification.run import VerifyJob, verify
    from guidelines.parse import parse_pdf as parse_guidelines
    from guidelines.sample.document import write_sample

    mimic, cohort, traces, dataset = out / "mimic", out / "cohort", out / "traces", out / "dataset"
    pdf, chapters, scraped = out / "guidelines.pdf", out / "guidelines", out / "descriptions"
    descriptions, verified = scraped / "descriptions.parquet", out / "verified"

    teacher = recipe.load_recipe(Path("rehearsal" if engine == "rehearsal" else "tiny")).replace(engine=engine)
    recipe_options = ["--recipe", "rehearsal"] if engine == "rehearsal" else ["--recipe", "tiny", "--engine", engine]

    def parse_sample_guidelines() -> "Record":
        if overwrite or not pdf.is_file():
            with storage.atomic_write(pdf) as tmp:
                write_sample(tmp)
        return parse_guidelines(pdf, chapters, overwrite=overwrite)

    return [
        Step(
            ["synthesize", mimic, "--admissions", admissions, "--seed", seed],
            lambda: synthesize(mimic, admissions, seed, overwrite=overwrite),
        ),
        Step(["guidelines", pdf, chapters], parse_sample_guidelines),
        Step(["scrape", scraped, "--codes", out / "codes.txt", "--base-url", "http://127.0.0.1"], lambda: _scrape(out)),
        Step(
            ["build", "--mimic", mimic, "--notes", mimic, cohort, "--seed", seed],
            lambda: build(mimic, mimic, cohort, Criteria(seed=seed), overwrite=overwrite),
        ),
        Step(
            ["distill", cohort, traces, "--guidelines", chapters, "--descriptions", descriptions, *recipe_options],
            lambda: distill(
                cohort,
                traces,
                teacher,
                guidelines=chapters,
                descriptions=descriptions,
                overwrite=overwrite,
            ),
        ),
        Step(
            ["verify", traces, verified, "--recipe", "rules"],
            lambda: verify(VerifyJob(traces, verified, load_verify_recipe(Path("rules")), overwrite=overwrite)),
        ),
        Step(
            ["assemble", "--cohort", cohort, "--traces", traces, "--verified", verified, dataset],
            lambda: assemble(cohort, traces, dataset, AssembleOptions(verified=verified, overwrite=overwrite)),
        ),
        Step(["card", dataset], lambda: write_card(dataset)),
    ]


def _scrape(out: Path) -> "Record":
    """Scrape the first diagnoses of the copy from the sample site."""
    from builders.cohort.stays import load_first_codes
    from scrapers.crawl import scrape
    from scrapers.sample.site import sample_site

    codes = load_first_codes(out / "mimic", out / "mimic")
    storage.write_text(out / "codes.txt", "".join(f"{code}\n" for code in codes))
    with sample_site() as base_url:
        return scrape(codes, out / "descriptions", base_url=base_url)


def summarize(out: Path, engine: str, runs: dict[str, "Record"]) -> str:
    """Return the closing lines: rows from notes to dataset, where the dataset is, how to load and view it."""
    from deepicd.stage_records import AssembleRecord, BuildRecord, DistillRecord, VerifyRecord

    funnel = runs["build"].parse_as(BuildRecord).counts.funnel.steps
    distilled = runs["distill"].parse_as(DistillRecord).counts
    verified = runs["verify"].parse_as(VerifyRecord).counts.verified
    rows = runs["assemble"].parse_as(AssembleRecord).counts.rows
    table: list[tuple[str, int]] = [(step.step, step.rows) for step in funnel]
    table += [
        ("traces kept", sum(distilled.kept.values())),
        ("rows without a kept trace", sum(distilled.rejected.values())),
        ("attempts", distilled.attempts),
        ("traces that no rule refutes", sum(verified.values())),
        *((f"dataset, {config}", sum(by_split.values())) for config, by_split in rows.items()),
    ]
    width = max(len(name) for name, _ in table)
    lines = [f"  {name:<{width}}  {number:>7,}" for name, number in table]
    dataset, python = out / "dataset", find_interpreter()
    load = f'from datasets import load_dataset; print(load_dataset({json.dumps(str(dataset))}, "traces"))'
    return "\n".join(
        [
            "",
            *lines,
            "",
            f"Dataset: {dataset} (made-up records; traces by engine {engine!r}: {_TEACHERS[engine]})",
            f"Card:    {dataset / 'README.md'}",
            f"Load it: {python} -c {shlex.quote(load)}",
            f"View it: {python} -m deepicd view {shlex.quote(str(dataset))}",
        ]
    )


def find_interpreter() -> str:
    """Return the Python that runs this, as a shell in the working folder can call it: '.venv/bin/python'."""
    python = Path(sys.executable)  # not resolved: a virtual environment's is a link out of it
    return shlex.quote(str(python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python))
