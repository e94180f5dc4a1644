"""`deepicd guidelines`: the command line of this stage."""

from pathlib import Path

import click

from deepicd.errors import DeepicdError

PATH = click.Path(path_type=Path)


class ParseByDefault(click.Group):
    """A group whose arguments are those of `parse` unless they begin with the name of another of its commands."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["parse", *args]
        return super().parse_args(ctx, args)


@click.group(cls=ParseByDefault)
def guidelines() -> None:
    """Guideline PDF → OUT/fy<year>/chapter_01.json … chapter_22.json, section_*.json, sections.parquet, run.json.

    PDF OUT alone means `parse PDF OUT`. The year is read from the front page; a second run on the same PDF does
    nothing.

    \b
    deepicd guidelines icd-10-cm-guidelines.pdf out/guidelines
    """


@guidelines.command()
@click.argument("pdf", type=PATH, required=False)
@click.argument("out", type=PATH, required=False)
@click.option("--audit", is_flag=True, help="Prove against the page text that no word is lost, doubled or moved.")
@click.option("--fetch", "year", type=int, metavar="YEAR", help="Download the PDF of a fiscal year from the CMS first.")
@click.option("--base-url", metavar="URL", help="Where --fetch looks instead of the CMS.")
@click.option("--overwrite", is_flag=True, help="Replace what another PDF or version left in OUT/fy<year>.")
def parse(
    pdf: Path | None, out: Path | None, audit: bool, year: int | None, base_url: str | None, overwrite: bool
) -> None:
    """Parse PDF into OUT/fy<year>; with --fetch, download it first.

    --fetch without PDF saves to the working folder, and without OUT it only downloads.

    \b
    deepicd guidelines --fetch 2025
    deepicd guidelines icd-10-cm-guidelines-FY2025.pdf out/guidelines --audit
    """
    from deepicd import records
    from guidelines import parse as parsing

    if year is not None:
        from guidelines import download

        pdf = download.download_guidelines(
            year, pdf or Path(f"icd-10-cm-guidelines-FY{year}.pdf"), base_url or download.CMS
        )
        click.echo(pdf)
        if out is None:
            return
    if pdf is None or out is None:
        raise click.UsageError("PDF and OUT are needed: deepicd guidelines icd-10-cm-guidelines.pdf out/guidelines")
    folder, plan = parsing.plan_parse(pdf, out)
    if record := records.find_finished(folder, plan):
        click.echo(f"{folder} was made from this PDF earlier: nothing to do.", err=True)
    else:
        record = parsing.parse_pdf(pdf, out, overwrite=overwrite)
    for note in record.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(f"{record.counts.sections} sections from {record.counts.pages} pages → {folder}")
    if audit:
        _audit(pdf, folder)


def _audit(pdf: Path, folder: Path) -> None:
    from guidelines.audit import audit

    findings = audit(pdf, folder)
    for line in findings.lines():
        click.echo(line)
    if not findings.clean:
        raise DeepicdError(f"{folder} is not word for word what {pdf} says; the differences stand above.")


@guidelines.command()
@click.argument("before", type=PATH)
@click.argument("after", type=PATH)
@click.option("--format", "form", type=click.Choice(["markdown", "json"]), default="markdown", show_default=True)
def diff(before: Path, after: Path, form: str) -> None:
    """What changed between two parsed years: sections added, removed, moved and reworded, on stdout.

    \b
    deepicd guidelines diff out/guidelines/fy2024 out/guidelines/fy2025 > changes.md
    """
    from guidelines import diff as changes

    found = changes.compare_years(before, after)
    click.echo(found.as_json() if form == "json" else found.as_markdown())


@guidelines.command()
@click.argument("years", type=PATH, nargs=-1, required=True, metavar="YEAR_FOLDER...")
@click.argument("out", type=PATH)
@click.option("--overwrite", is_flag=True, help="Replace what another run of this step left in OUT.")
def dataset(years: tuple[Path, ...], out: Path, overwrite: bool) -> None:
    """Parsed years → OUT, a dataset folder for the Hub: a table of sections for each year, and a card.

    \b
    deepicd guidelines dataset out/guidelines/fy2025 out/guideline-dataset
    """
    from guidelines import publication

    record = publication.build_dataset(list(years), out, overwrite=overwrite)
    for name, rows in record.counts.rows.items():
        click.echo(f"{name}: {rows} sections")
    click.echo(f"Dataset ({record.origin}) → {out}")
