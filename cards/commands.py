"""`deepicd card`, `deepicd bundle` and `deepicd check-disclosure`."""

from dataclasses import asdict
from pathlib import Path

import click

from deepicd import json_output

MAX_UNCHECKED = 20  # names in the report


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--template", type=click.Path(path_type=Path), help="A Jinja2 template of your own; see cards/templates.")
def card(out: Path, template: Path | None) -> None:
    """Write README.md and its figures into OUT, a dataset folder or a run of `deepicd train`.

    Everything in the card is read from the folder's run.json and parquet files. For credentialed data, counts under ten
    are withheld, and so are counts from which they could be derived. Nothing is sent anywhere.

    \b
    deepicd card out/dataset
    """
    from cards.dataset_card import write_card
    from deepicd.stage_records import describe_rehearsal

    record = write_card(out, template=template)
    if rehearsal := describe_rehearsal(record):
        click.echo(rehearsal)
    rows = record.counts.rows.get("traces")
    of = f"{sum(rows.values()):,} traces" if rows else "a model"
    click.echo(f"Card of {of} → {out / 'README.md'}")


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--without-notes", is_flag=True, help="Only ids, codes, traces and digests; see deepicd rehydrate.")
@click.option("--title", help="Your own title; if it uses the name MIMIC, it has to begin with MIMIC-IV-Ext-.")
@click.option(
    "--abstract",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file with your own abstract of up to 250 words.",
)
@click.option("--release", default="1.0.0", show_default=True, help="Version of the submission.")
@click.option("--overwrite", is_flag=True, help="Replace the output of another run of this stage in OUT.")
def bundle(
    dataset: Path,
    out: Path,
    without_notes: bool,
    title: str | None,
    abstract: Path | None,
    release: str,
    overwrite: bool,
) -> None:
    """Turn the folder DATASET into a submission to PhysioNet, in the folder OUT.

    PhysioNet is where data derived from MIMIC may be shared. OUT receives the data files, README.md with PhysioNet's
    sections, metadata.json, LICENSE.txt, RECORDS and SHA256SUMS.txt. Nothing is sent anywhere.

    \b
    deepicd bundle out/dataset out/submission
    deepicd bundle out/dataset out/submission --without-notes
    """
    from cards.bundle import write_bundle
    from deepicd.stage_records import describe_rehearsal

    record = write_bundle(
        dataset,
        out,
        notes=not without_notes,
        title=title,
        abstract=abstract.read_text(encoding="utf-8") if abstract else None,
        release=release,
        overwrite=overwrite,
    )
    if rehearsal := describe_rehearsal(record):
        click.echo(rehearsal)
    for note in record.notes:
        click.echo(note)
    counts = record.counts
    click.echo(f"{counts.files} data files, an abstract of {counts.abstract_words} words → {out}")


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--notes-from", type=click.Path(path_type=Path, exists=True),
              help="Cohort, dataset or copy of MIMIC-IV-Note whose passages must not occur in a text; by default the"
              " notes of the run that PATH belongs to, found through its run.json.")  # fmt: skip
def check_disclosure(path: Path, notes_from: Path | None) -> None:
    """Check whether a file, or every file of a folder, may leave this machine; exit code 1 if one may not.

    Files may leave if their run's record proves them made up or public. Other texts are read word by word for ids in
    MIMIC's ranges, `___`, prompts and passages of the notes; without notes to compare with they are not checked, and
    the exit code is 1. The report names file, line and reason and never shows the text.

    \b
    deepicd check-disclosure out/dataset/README.md
    """
    from cards.firewall.check import check_path, format_findings

    report = check_path(path, notes_from=notes_from)
    json_output.offer({
        "may_leave": report.may_leave, "files": report.files, "bytes": report.size, "bytes_read": report.scanned,
        "origins": dict(report.origins), "findings": [asdict(finding) for finding in report.findings],
        "unchecked": report.unchecked, "notes_from": [str(place) for place in report.notes_from],
    })  # fmt: skip
    for line in format_findings(report.findings):
        click.echo(line)
    origins = ", ".join(f"{number:,} {origin}" for origin, number in sorted(report.origins.items()))
    click.echo(
        f"{report.files:,} file{'s'[: report.files != 1]} ({origins}), {report.size / 1e3:,.0f} kB;"
        f" {report.scanned / 1e3:,.0f} kB read word by word"
    )
    for place in report.notes_from:
        click.echo(f"Compared with the notes in {place}")
    for name in report.unchecked[:MAX_UNCHECKED]:
        click.echo(f"{name}: not checked")
    if report.findings:
        refused = len({finding.name for finding in report.findings})
        click.echo(f"Refused: {refused:,} file{'s'[: refused != 1]} may not leave.")
    if unchecked := len(report.unchecked):
        click.echo(
            f"Not checked: {unchecked:,} file{'s'[: unchecked != 1]} not proven to be made up or public, and no notes"
            " to compare with. Name the notes with --notes-from DIR."
        )
    if not report.may_leave:
        raise SystemExit(1)
    click.echo("Nothing was found that may not leave.")
