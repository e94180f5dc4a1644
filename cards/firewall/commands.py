"""`deepicd check-disclosure`."""

import logging
from pathlib import Path

import click

logger = logging.getLogger(__name__)


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--notes-from", type=click.Path(path_type=Path, exists=True),
              help="Cohort, dataset or copy of MIMIC-IV-Note whose passages must not occur in a text.")  # fmt: skip
def check_disclosure(path: Path, notes_from: Path | None) -> None:
    """Check whether a file, or every file of a folder, may leave this machine; exit code 1 if one may not.

    Files are checked by origin (parquet metadata, run.json), texts also word by word for ids in MIMIC's ranges, `___`,
    prompts and passages of the notes. The report names file, line and reason and never shows the text.

    \b
    deepicd check-disclosure out/dataset/README.md --notes-from out/cohort
    """
    from cards.firewall.check import check_path, format_findings

    report = check_path(path, notes_from=notes_from)
    for line in format_findings(report.findings):
        click.echo(line)
    origins = ", ".join(f"{number:,} {origin}" for origin, number in sorted(report.origins.items()))
    click.echo(
        f"{report.files:,} files ({origins}), {report.size / 1e6:,.1f} MB; "
        f"{report.scanned / 1e6:,.1f} MB read word by word"
    )
    if not report.compared:
        logger.warning("The texts were not compared with any notes; name them with --notes-from DIR.")
    if report.findings:
        click.echo(f"Refused: {len({finding.name for finding in report.findings}):,} files may not leave.")
        raise SystemExit(1)
    click.echo("Nothing was found that may not leave.")
