"""`deepicd card`."""

from pathlib import Path

import click


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--template", type=click.Path(path_type=Path), help="A Jinja2 template of your own; see cards/templates.")
def card(out: Path, template: Path | None) -> None:
    """Write README.md and its figures into OUT: a dataset folder, or what `deepicd train` has made.

    Everything in it is read from the folder's run.json and parquet files. Of credentialed data no count under ten is
    shown, nor one that it could be worked out from. Nothing is sent anywhere.

    \b
    deepicd card out/dataset
    """
    from cards.card import write_card

    record = write_card(out, template)
    rows = record["counts"].get("rows", {}).get("traces")
    of = f"{sum(rows.values()):,} traces" if rows else "a model"
    click.echo(f"Card of {of} → {out / 'README.md'}")
