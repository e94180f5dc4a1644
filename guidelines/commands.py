"""The command `deepicd guidelines` and its subcommands."""

import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from deepicd import json_output
from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    from deepicd.stage_records import GuidelinesCounts

PATH = click.Path(path_type=Path)

logger = logging.getLogger(__name__)


class ParseByDefault(click.Group):
    """A group that passes its arguments to `parse` unless they begin with the name of another subcommand."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["parse", *args]
        return super().parse_args(ctx, args)


@click.group(cls=ParseByDefault)
def guidelines() -> None:
    """Parse the guideline PDF into OUT/fy<year>/: chapter_01.json … chapter_22.json, sections.parquet, run.json.

    PDF OUT alone means `parse PDF OUT`. The year is read from the front page; a second run on the same PDF does
    nothing.

    \b
    deepicd guidelines icd-10-cm-guidelines.pdf out/guidelines
    """


@guidelines.command()
@click.argument("pdf", type=PATH, required=False)
@click.argument("out", type=PATH, required=False)
@click.option(
    "--audit", is_flag=True, help="Print how the files compare with the pages, also for files that were already made."
)
@click.option("--fetch", "year", type=int, metavar="YEAR", help="Download the PDF of a fiscal year from the CMS first.")
@click.option("--base-url", metavar="URL", help="Download from here instead of the CMS.")
@click.option("--overwrite", is_flag=True, help="Replace the output of another PDF or version in OUT/fy<year>.")
def parse(
    pdf: Path | None, out: Path | None, audit: bool, year: int | None, base_url: str | None, overwrite: bool
) -> None:
    """Parse PDF into OUT/fy<year>; with --fetch, download it first.

    --fetch without PDF saves to the working folder, and without OUT it only downloads.

    \b
    deepicd guidelines --fetch 2025
    deepicd guidelines icd-10-cm-guidelines-FY2025.pdf out/guidelines
    """
    if year is not None:
        from guidelines.download import CMS, download_guidelines

        pdf = download_guidelines(year, pdf or Path(f"icd-10-cm-guidelines-FY{year}.pdf"), base_url or CMS)
        click.echo(pdf)
        if out is None:
            return
    if pdf is None or out is None:
        raise click.UsageError(
            "PDF and OUT are needed: deepicd guidelines icd-10-cm-guidelines-FY2025.pdf out/guidelines. "
            "To download the PDF first: deepicd guidelines --fetch 2025"
        )

    from deepicd import records
    from guidelines.parse import parse_pdf, plan_parse

    folder, plan = plan_parse(pdf, out)
    if record := records.find_finished(folder, plan):
        logger.info("%s was already made from this PDF: nothing to do.", folder)
    else:
        record = parse_pdf(pdf, out, overwrite=overwrite)
    for note in record.notes:
        logger.info("Note: %s", note)
    for line in _summarize(record.counts):
        click.echo(line)
    click.echo(f"{record.counts.sections} sections from {record.counts.pages} pages → {folder}")
    if audit:
        _audit(pdf, folder)


def _summarize(counts: "GuidelinesCounts") -> Iterator[str]:
    """Yield what was taken out, and whether the words were audited."""
    if counts.running_lines:
        lines = ", ".join(f"“{text}” × {pages}" for text, pages in counts.running_lines.items())
        yield f"{sum(counts.running_lines.values()):,} running lines taken out: {lines}"
    if counts.doubled_letters:
        yield f"{counts.doubled_letters:,} letters taken out that were printed twice"
    words = counts.audited_words
    yield "not audited" if words is None else f"{words:,} pieces of words read alike by a second library"


def _audit(pdf: Path, folder: Path) -> None:
    from guidelines.audit import audit
    from guidelines.parse import read_year

    result = audit(pdf, list(read_year(folder).walk()))
    for line in result.format_lines():
        click.echo(line)
    if not result.is_clean:
        raise DeepicdError(
            f"{folder} does not match {pdf} word for word; the differences are listed above.",
            f"Remove {folder} and parse the PDF again. If the differences remain, report them with the fiscal year.",
        )


@guidelines.command()
@click.argument("before", type=PATH)
@click.argument("after", type=PATH)
@click.option("--format", "form", type=click.Choice(["markdown", "json"]), default="markdown", show_default=True,
              help="Form of the list on stdout.")  # fmt: skip
def diff(before: Path, after: Path, form: str) -> None:
    """Print what changed between two parsed years: sections added, removed, moved and reworded.

    \b
    deepicd guidelines diff out/guidelines/fy2024 out/guidelines/fy2025 > changes.md
    """
    from guidelines.diff import compare_years

    changes = compare_years(before, after)
    json_output.offer(asdict(changes))
    click.echo(changes.to_json() if form == "json" else changes.to_markdown())


@guidelines.command()
@click.argument("years", type=PATH, nargs=-1, required=True, metavar="YEAR_FOLDER...")
@click.argument("out", type=PATH)
@click.option("--overwrite", is_flag=True, help="Replace the output of another run of this step in OUT.")
def dataset(years: tuple[Path, ...], out: Path, overwrite: bool) -> None:
    """Write parsed years into OUT, a dataset folder for the Hub: one table of sections per year, and a card.

    \b
    deepicd guidelines dataset out/guidelines/fy2025 out/guideline-dataset
    """
    from guidelines.publication import build_dataset

    record = build_dataset(list(years), out, overwrite=overwrite)
    for name, rows in record.counts.rows.items():
        click.echo(f"{name}: {rows} sections")
    click.echo(f"Dataset ({record.origin}) → {out}")
