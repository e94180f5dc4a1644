"""`deepicd scrape`: arguments in, a summary out. The work is in `crawl`."""

from pathlib import Path

import click

from scrapers.site import GESUND, Language


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--codes", "codes_file", type=click.Path(path_type=Path), required=True, help="Codes to ask for, one a line."
)
@click.option("--language", type=click.Choice(["de", "en"]), default="de", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Ask for the first N pages only.")
@click.option("--base-url", default=GESUND, show_default=True, metavar="URL", help="The site, without its path to ICD.")
@click.option("--contact", metavar="MAIL", help="Whom the site's operators can write to; needed for a public host.")
@click.option("--dry-run", is_flag=True, help="Say how many pages would be asked for, and how long it takes.")
def scrape(
    out: Path,
    codes_file: Path,
    language: Language,
    limit: int | None,
    base_url: str,
    contact: str | None,
    dry_run: bool,
) -> None:
    """Fetch the explanations of ICD-10-GM codes from gesund.bund.de into OUT/descriptions.parquet.

    Each code of the file is asked for with its parents of three, four and five characters. The crawl obeys robots.txt,
    asks for one page at a time and keeps every page: stopped, it goes on with the same command; done, it asks for
    nothing more.

    \b
    deepicd scrape out/scrape --codes codes.txt --contact you@example.org --dry-run
    """
    from scrapers import codes, crawl, descriptions

    wanted = codes.read(codes_file)
    if dry_run:
        click.echo(crawl.outlook(wanted, out, base_url=base_url, language=language, limit=limit))
        return
    record = crawl.harvest(wanted, out, base_url=base_url, language=language, contact=contact, limit=limit)
    for line in descriptions.summary(record["counts"]):
        click.echo(line)
    click.echo(f"\n{out / crawl.TABLE}")
    for note in record["notes"]:
        click.echo(note)
