"""`deepicd scrape` and `deepicd coverage`: arguments in, a summary out. The work is in `crawl` and `coverage`."""

from pathlib import Path

import click

from scrapers.site import GESUND, Language


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--codes", "codes_file", type=click.Path(path_type=Path), help="Codes to ask for, one a line.")
@click.option("--mimic", type=click.Path(path_type=Path), help="A MIMIC-IV copy: ask for the codes of its dictionary.")
@click.option("--follow", is_flag=True, help="Ask for all that the site's ICD section links to.")
@click.option("--language", type=click.Choice(["de", "en"]), default="de", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Ask for the first N pages of codes only.")
@click.option("--base-url", default=GESUND, show_default=True, metavar="URL", help="The site, without its path to ICD.")
@click.option("--contact", metavar="MAIL", help="Whom the site's operators can write to; needed for a public host.")
@click.option("--dry-run", is_flag=True, help="Say how many pages would be asked for, and how long it takes.")
def scrape(
    out: Path,
    codes_file: Path | None,
    mimic: Path | None,
    follow: bool,
    language: Language,
    limit: int | None,
    base_url: str,
    contact: str | None,
    dry_run: bool,
) -> None:
    """Fetch the explanations of ICD-10-GM codes from gesund.bund.de into OUT/descriptions.parquet.

    Codes come from a file, from a MIMIC copy's dictionary, or by following links; each is asked for with its parents
    of three, four and five characters. The crawl obeys robots.txt, asks for one page at a time and keeps every page:
    stopped, it goes on with the same command; done, it asks for nothing more.

    \b
    deepicd scrape out/scrape --mimic ~/mimiciv/3.1 --contact you@example.org --dry-run
    """
    from scrapers import code_list, crawl, descriptions
    from scrapers.crawl_plan import Wanted, outlook

    if not (codes_file or mimic or follow):
        raise click.UsageError("Say what to ask for: --codes FILE, --mimic DIR or --follow.")
    listed = [*(code_list.read(codes_file) if codes_file else ()), *(code_list.of_dictionary(mimic) if mimic else ())]
    wanted = Wanted(tuple(listed), follow, limit)
    if dry_run:
        click.echo(outlook(wanted, out, base_url=base_url, language=language))
        return
    record = crawl.harvest(wanted, out, base_url=base_url, language=language, contact=contact)
    for line in descriptions.summary(record.counts):
        click.echo(line)
    click.echo(f"\n{out / crawl.TABLE}")
    for note in record.notes:
        click.echo(note)


@click.command()
@click.argument("cohort", type=click.Path(path_type=Path))
@click.option(
    "--descriptions",
    type=click.Path(path_type=Path),
    required=True,
    help="descriptions.parquet of `deepicd scrape`.",
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Draw the figure by chapter into DIR.")
def coverage(cohort: Path, descriptions: Path, out: Path | None) -> None:
    """Say how many stays and codes of a COHORT have a description, on how many characters, how far to trust it.

    \b
    deepicd coverage out/cohort --descriptions out/scrape/descriptions.parquet --out out/coverage
    """
    from scrapers import coverage as report

    for line in report.summary(report.coverage(cohort, descriptions, out)):
        click.echo(line)
    if out:
        click.echo(f"\n{out / report.FIGURE}")
