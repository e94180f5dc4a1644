"""`deepicd view`, `deepicd report` and `deepicd review`."""

from pathlib import Path

import click

from deepicd.changed_inputs import accept_changes_option


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--cohort", type=click.Path(path_type=Path), help="The cohort, if it has moved since its traces were made."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; others need --responsible.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; any free one by default.")
@click.option(
    "--responsible", metavar="SENTENCE", help="Allow an address that others may reach; the error gives the sentence."
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
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
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--rows", type=click.IntRange(min=1), default=200, show_default=True, help="Rows, from every chapter and verdict."
)
@click.option("--seed", type=int, default=42, show_default=True, help="Seed of the sample.")
@click.option(
    "--cohort", type=click.Path(path_type=Path), help="The cohort, if it has moved since its traces were made."
)
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
