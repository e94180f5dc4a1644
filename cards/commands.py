"""`deepicd card`."""

from pathlib import Path

import click


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
def card(out: Path) -> None:
    """Write README.md and its figures into the dataset folder OUT.

    Everything in it is read from the folder's run.json and parquet files. Of credentialed data no count under ten is
    shown. Nothing is sent anywhere.

    \b
    deepicd card out/dataset
    """
    from cards.card import write_card

    record = write_card(out)
    rows = sum(record["counts"]["rows"]["traces"].values())
    click.echo(f"Card of {rows:,} traces → {out / 'README.md'}")
