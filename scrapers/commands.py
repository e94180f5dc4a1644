"""The commands `deepicd scrape` and `deepicd coverage`."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from deepicd import json_output
from deepicd.changed_inputs import accept_changes_option
from scrapers.site import GESUND_URL, Language

PATH = click.Path(path_type=Path)


class ScrapeOptions(TypedDict):
    """The options of `deepicd scrape`."""

    codes_file: Path | None
    cohort: Path | None
    mimic: Path | None
    gm_list: Path | None
    follow: bool
    limit: int | None
    language: Language
    base_url: str
    contact: str | None
    dry_run: bool


@click.command()
@click.argument("out", type=PATH)
@click.option("--codes", "codes_file", type=PATH, help="File of codes to request, one per line.")
@click.option("--cohort", type=PATH, metavar="DIR", help="Output of `deepicd build`: request the codes of its stays.")
@click.option("--mimic", type=PATH, help="A MIMIC-IV copy, as for build: request the codes of its dictionary.")
@click.option("--gm-list", type=PATH, metavar="FILE",
              help="BfArM's list of GM codes: its titles are used, and what it lacks is not requested.")  # fmt: skip
@click.option("--follow", is_flag=True, help="Request every page that the site's ICD section links to.")
@click.option("--language", type=click.Choice(["de", "en"]), default="de", show_default=True, help="Of the pages.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Request only the first N pages of codes.")
@click.option("--base-url", default=GESUND_URL, show_default=True, metavar="URL",
              help="The site, without the path of its ICD section.")  # fmt: skip
@click.option("--contact", metavar="EMAIL", help="Where the site's operators can reach you; needed for a public host.")
@click.option("--dry-run", is_flag=True, help="Print how many pages would be requested, and how long it takes.")
def scrape(out: Path, **options: Unpack[ScrapeOptions]) -> None:
    """Fetch the explanations of ICD-10-GM codes from gesund.bund.de into OUT/descriptions.parquet.

    Codes come from a cohort, from a file, from a MIMIC copy's dictionary, or from links; each is requested with its
    parents of three, four and five characters. A cohort needs far fewer pages than the dictionary. The crawl obeys
    robots.txt, requests one page at a time and keeps every page: after an interruption the same command continues, and
    once finished it sends no more requests, except for pages that had no answer or none about ICD codes.

    \b
    deepicd scrape out/scrape --cohort out/cohort --contact you@example.org --dry-run
    """
    from deepicd.knowledge.icd10gm import read_gm_list
    from scrapers.crawl_plan import CrawlPlan, estimate_crawl, read_codes, read_cohort, read_dictionary

    if not (options["cohort"] or options["codes_file"] or options["mimic"] or options["follow"]):
        raise click.UsageError("Name what to request: --cohort DIR, --codes FILE, --mimic DIR or --follow.")
    codes = read_codes(options["codes_file"]) if options["codes_file"] else []
    codes += read_cohort(options["cohort"]) if options["cohort"] else []
    codes += read_dictionary(options["mimic"]) if options["mimic"] else []
    gm_titles = read_gm_list(options["gm_list"]) if options["gm_list"] else None
    plan = CrawlPlan(tuple(codes), follow=options["follow"], limit=options["limit"], gm_titles=gm_titles)
    base_url, language = options["base_url"], options["language"]
    if options["dry_run"]:
        click.echo(estimate_crawl(plan, out, base_url=base_url, language=language))
        return

    from scrapers import crawl, descriptions

    record = crawl.scrape(plan, out, base_url=base_url, language=language, contact=options["contact"])
    for line in descriptions.format_summary(record.counts):
        click.echo(line)
    click.echo(f"\n{out / crawl.TABLE}")
    for note in record.notes:
        click.echo(note)


@click.command()
@click.argument("cohort", type=PATH)
@click.argument("out", type=PATH, required=False)
@click.option("--descriptions", type=PATH, required=True, help="descriptions.parquet of `deepicd scrape`.")
@accept_changes_option
def coverage(cohort: Path, descriptions: Path, out: Path | None) -> None:
    """Print how many stays and codes of a COHORT have a description, at which level, and how reliable the match is.

    With OUT, the figure by chapter and a record go there.

    \b
    deepicd coverage out/cohort --descriptions out/scrape/descriptions.parquet out/coverage
    """
    from scrapers.coverage import FIGURE, format_summary, measure_coverage

    counts = measure_coverage(cohort, descriptions, out)
    if out is None:
        json_output.offer(counts.dump())
    for line in format_summary(counts):
        click.echo(line)
    if out:
        click.echo(f"\n{out / FIGURE}")
