"""`deepicd check-disclosure`."""

from pathlib import Path

import click


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--notes-from", type=click.Path(path_type=Path, exists=True),
              help="Cohort, dataset or copy of MIMIC-IV-Note whose words must not stand in a text.")  # fmt: skip
def check_disclosure(path: Path, notes_from: Path | None) -> None:
    """Say whether a file, or every file of a folder, may leave this machine; exit code 1 if one may not.

    By origin (parquet metadata, run.json), then word by word: ids in MIMIC's ranges, `___`, prompts, passages of the
    notes. Names file, line and reason, and never shows the text.

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
        click.echo("No notes were at hand to compare with: --notes-from DIR", err=True)
    if report.findings:
        click.echo(f"Refused: {len({finding.name for finding in report.findings}):,} files may not leave.")
        raise SystemExit(1)
    click.echo("Nothing found that may not leave.")
