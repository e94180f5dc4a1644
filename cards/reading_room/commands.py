"""`deepicd view`, `deepicd report` and `deepicd review`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from deepicd import json_output
from deepicd.changed_inputs import accept_changes_option

if TYPE_CHECKING:
    from cards.reading_room.rows import Rows
    from deepicd.stage_records import ReviewRecord

PATH = click.Path(path_type=Path)
Command = TypeVar("Command", bound=Callable[..., None])

cohort_option = click.option("--cohort", type=PATH, help="The cohort, if it has moved since its traces were made.")


def server_options(command: Command) -> Command:
    """Add the options of a server of pages."""
    options = [
        click.option("--host", default="127.0.0.1", show_default=True,
                     help="Address to listen on; others need --responsible."),
        click.option("--port", type=click.IntRange(0, 65535), default=0,
                     help="Port to listen on; any free one by default."),
        click.option("--responsible", metavar="SENTENCE",
                     help="Allow an address that others may reach; the error gives the sentence."),
        click.option("--no-browser", is_flag=True, help="Only print the address."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("path", type=PATH)
@cohort_option
@server_options
def view(path: Path, cohort: Path | None, host: str, port: int, responsible: str | None, no_browser: bool) -> None:
    """Read traces beside their notes in a browser. PATH: any output of ours, or a folder above several.

    Each number, drug, finding and quotation of a trace is linked to the place in the note that supports or contradicts
    it. Rows are filtered, searched and stepped through by key. Nothing leaves this machine: the server listens on
    loopback, needs the token of its address, and its pages load nothing from elsewhere. Ctrl-C ends it.

    \b
    deepicd view out/demo
    """
    from cards.reading_room.folders import find_holdings
    from cards.reading_room.pages import Pages
    from cards.reading_room.rows import open_rows
    from cards.reading_room.server import ServerLinks, build_app, check_host, describe_folder, serve

    check_host(host, responsible)
    rows = open_rows(find_holdings(path, cohort))
    pages = Pages(rows, ServerLinks(), describe_folder(path))
    click.echo(f"{rows.count():,} rows")
    serve(lambda address: build_app(pages, address), host, port, open_browser=not no_browser)


@click.command()
@click.argument("path", type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--rows", type=click.IntRange(min=1), default=200, show_default=True, help="Rows, from every chapter and verdict."
)
@click.option("--seed", type=int, default=42, show_default=True, help="Seed of the sample.")
@cohort_option
@accept_changes_option
@click.option("--overwrite", is_flag=True, help="Replace the output of another run of this stage in OUT.")
def report(path: Path, out: Path, rows: int, seed: int, cohort: Path | None, overwrite: bool) -> None:
    """Write the pages of `deepicd view` into the folder OUT, for a sample of the rows. Open OUT/index.html.

    The folder needs no server and no network. With credentialed records every page says so, the folder is readable by
    you alone, and check-disclosure refuses it; one of made-up records may be put on a web page.

    \b
    deepicd report out/demo out/report --rows 200
    """
    from cards.reading_room.report import write_report

    record = write_report(path, out, rows=rows, seed=seed, cohort=cohort, overwrite=overwrite)
    click.echo(f"{record.counts.rows:,} of {record.counts.of:,} rows → {out / 'index.html'}")


@click.group()
def review() -> None:
    """Let people rate traces on the pages of the reading room, and measure how far they and a judge agree.

    \b
    deepicd review start out/demo out/review --reviewers ana,ben --rows 80 --overlap 40
    deepicd review rate out/review --reviewer ana
    deepicd review summary out/review
    """


@review.command()
@click.argument("path", type=PATH)
@click.argument("out", type=PATH)
@click.option("--reviewers", required=True, metavar="NAMES", help="Names of the reviewers, separated by commas.")
@click.option("--rows", type=click.IntRange(min=1), default=80, show_default=True, help="Notes, from every chapter.")
@click.option(
    "--overlap",
    type=click.IntRange(min=0),
    help="Notes that every reviewer rates.  [default: 40, or all of --rows if fewer]",
)
@click.option("--pairs", is_flag=True, help="Compare the traces of two teachers, whose names are hidden.")
@click.option("--rubric", type=PATH, default=Path("clinicians"), help="A YAML file of questions.")
@click.option("--seed", type=int, default=42, show_default=True, help="Seed of the draw.")
@cohort_option
@click.option("--overwrite", is_flag=True, help="Replace another review in OUT, with its ratings.")
def start(
    path: Path,
    out: Path,
    reviewers: str,
    rubric: Path,
    cohort: Path | None,
    overwrite: bool,
    overlap: int | None,
    **draw: int,
) -> None:
    """Draw which reviewer rates which traces of PATH, in which order, and write it into OUT.

    \b
    deepicd review start out/demo out/review --reviewers ana,ben
    """
    from cards.reading_room.review.assignment import Draw, start_review
    from cards.reading_room.review.rubric import load_rubric

    names = tuple(name.strip() for name in reviewers.split(","))
    shared = min(40, draw["rows"]) if overlap is None else overlap
    chosen = Draw(names, draw["rows"], shared, bool(draw["pairs"]), draw["seed"])
    record = start_review(path, out, chosen, load_rubric(rubric), cohort=cohort, overwrite=overwrite)
    for name, forms in record.counts.forms.items():
        click.echo(f"{forms} forms: deepicd review rate {out} --reviewer {name}")


@review.command()
@click.argument("out", type=PATH)
@click.option("--reviewer", required=True, help="Whose forms.")
@server_options
def rate(out: Path, reviewer: str, host: str, port: int, responsible: str | None, no_browser: bool) -> None:
    """Open a reviewer's forms in a browser, as `deepicd view` does. Each is stored when it is sent; Ctrl-C ends it.

    \b
    deepicd review rate out/review --reviewer ana
    """
    from cards.reading_room.pages import Pages
    from cards.reading_room.review.assignment import read_review
    from cards.reading_room.review.form import ReviewLinks, build_review_app, open_forms
    from cards.reading_room.server import check_host, describe_folder, serve
    from deepicd.lease import LOCK, hold_lease

    check_host(host, responsible)
    plan, record = read_review(out)
    forms = open_forms(Pages(_open_rows(record), ReviewLinks(), describe_folder(out)), plan, out, reviewer)
    (out / "ratings").mkdir(exist_ok=True)
    with hold_lease(out / "ratings" / f".{reviewer}{LOCK}", f"rating as {reviewer} in {out}"):
        serve(lambda address: build_review_app(forms, address), host, port, open_browser=not no_browser)


@review.command()
@click.argument("out", type=PATH)
def summary(out: Path) -> None:
    """Print agreement, preference and the judge's calibration, and write OUT/summary.json.

    \b
    deepicd review summary out/review
    """
    from cards.reading_room.review.assignment import read_review
    from cards.reading_room.review.summary import format_summary, summarize_review

    plan, record = read_review(out)
    by_row = {entry["row"]: entry["score"] for entry in _open_rows(record).query("select row, score from entries")}
    scores = {
        (number, place): by_row[trace.row]
        for number, item in enumerate(plan.items)
        for place, trace in enumerate(item.traces)
        if by_row.get(trace.row) is not None
    }
    result = summarize_review(out, scores)
    json_output.offer(result.dump())
    click.echo(format_summary(result))


@review.command("export")
@click.argument("out", type=PATH)
@click.argument("file", type=PATH)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["csv", "jsonl", "argilla", "label-studio"]),
    default="csv",
    show_default=True,
    help="csv or jsonl: ratings alone; argilla or label-studio: records for that program.",
)
def export_command(out: Path, file: Path, format_name: str) -> None:
    """Write the ratings to FILE; for Argilla and Label Studio with the texts, so that people can rate there.

    \b
    deepicd review export out/review ratings.csv
    """
    from cards.reading_room.filters import Filters
    from cards.reading_room.review.assignment import read_review
    from cards.reading_room.review.exchange import export_ratings

    _, record = read_review(out)
    rows = _open_rows(record)

    def read_texts(row: int) -> tuple[str, str]:
        entry = rows.find_entry(row, Filters())
        kept = next(attempt for attempt in rows.read_attempts(entry) if attempt["verdict"] == "kept")
        return rows.read_note(entry), kept["trace"]

    number = export_ratings(out, file, format_name, read_texts)
    click.echo(f"{number:,} records → {file}")


@review.command("import")
@click.argument("out", type=PATH)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--format", "format_name", type=click.Choice(["argilla", "label-studio"]), required=True,
              help="The program that FILE comes from.")  # fmt: skip
def import_command(out: Path, file: Path, format_name: str) -> None:
    """Add ratings that were made in Argilla or Label Studio on what `deepicd review export` wrote.

    \b
    deepicd review import out/review tasks.json --format label-studio
    """
    from cards.reading_room.review.exchange import import_ratings

    for reviewer, number in import_ratings(out, file, format_name).items():
        click.echo(f"{number:,} ratings of {reviewer}")


def _open_rows(record: "ReviewRecord") -> "Rows":
    from cards.reading_room.folders import find_inputs
    from cards.reading_room.rows import open_rows

    return open_rows(find_inputs(record))
