"""`deepicd card` and `deepicd bundle`."""

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
    from cards.dataset_card import write_card

    record = write_card(out, template)
    rows = record.counts.rows.get("traces")
    of = f"{sum(rows.values()):,} traces" if rows else "a model"
    click.echo(f"Card of {of} → {out / 'README.md'}")


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--without-notes", is_flag=True, help="Ids, codes, traces and digests alone; see deepicd rehydrate.")
@click.option("--title", help="Instead of ours; with the name MIMIC it begins with MIMIC-IV-Ext-.")
@click.option(
    "--abstract",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file with your own, of up to 250 words.",
)
@click.option("--release", default="1.0.0", show_default=True, help="Version of the submission.")
@click.option("--overwrite", is_flag=True, help="Replace what another run of this stage left in DIR.")
def bundle(
    out: Path,
    folder: Path,
    without_notes: bool,
    title: str | None,
    abstract: Path | None,
    release: str,
    overwrite: bool,
) -> None:
    """Make the dataset folder OUT into a submission to PhysioNet, in the folder DIR.

    PhysioNet is where data derived from MIMIC may be shared. DIR gets the data files, README.md in PhysioNet's
    sections, metadata.json, LICENSE.txt, RECORDS and SHA256SUMS.txt. Nothing is sent anywhere.

    \b
    deepicd bundle out/dataset out/submission
    deepicd bundle out/dataset out/submission --without-notes
    """
    from cards.bundle import write_bundle

    record = write_bundle(
        out,
        folder,
        notes=not without_notes,
        title=title,
        abstract=abstract.read_text(encoding="utf-8") if abstract else None,
        release=release,
        overwrite=overwrite,
    )
    counts = record.counts
    click.echo(f"{counts.files} data files, an abstract of {counts.abstract_words} words → {folder}")
