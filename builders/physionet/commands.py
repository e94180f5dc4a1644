"""`deepicd physionet`."""

import logging
from pathlib import Path

import click

from builders.physionet.releases import MIMIC, NOTE
from builders.physionet.session import PHYSIONET
from deepicd import json_output
from deepicd.http import USER_AGENT
from deepicd.storage import expand_home

logger = logging.getLogger(__name__)

FOLDER = click.Path(path_type=Path)


@click.group()
def physionet() -> None:
    """Download MIMIC-IV and MIMIC-IV-Note, or check a copy.

    \b
    deepicd physionet fetch --user NAME ~/mimic
    deepicd physionet verify ~/mimic
    """


@physionet.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.option("--user", metavar="NAME", help="Your PhysioNet account. Default: from ~/.netrc.")
@click.option("--mimiciv", default=MIMIC.version, show_default=True, metavar="VERSION", help="MIMIC-IV release.")
@click.option("--note", default=NOTE.version, show_default=True, metavar="VERSION", help="MIMIC-IV-Note release.")
@click.option("--base-url", default=PHYSIONET, show_default=True, metavar="URL", help="Address of PhysioNet.")
@click.option("--user-agent", default=USER_AGENT, show_default=True, metavar="TEXT", help="User-Agent to send.")
def fetch(folder: Path, user: str | None, mimiciv: str, note: str, base_url: str, user_agent: str) -> None:
    """Download the six tables that the cohort reads, some 1.2 GB, into DIR/mimiciv and DIR/mimic-iv-note.

    The password is prompted for, or taken from ~/.netrc or DEEPICD_PHYSIONET_PASSWORD. The same command resumes an
    interrupted download and fetches nothing twice. Every file is verified by its checksum.

    \b
    deepicd physionet fetch --user NAME ~/mimic
    """
    from urllib.parse import urlsplit

    from builders.physionet.fetch import fetch as download_missing
    from builders.physionet.session import check_base_url, find_account

    url = check_base_url(base_url)
    fetched = download_missing(
        expand_home(folder),
        url,
        lambda: find_account(user, urlsplit(url).hostname or ""),
        {MIMIC.slug: mimiciv, NOTE.slug: note},
        user_agent=user_agent,
    )
    for path in fetched:
        click.echo(path)
    if fetched:
        logger.info("%s files fetched.", len(fetched))
    else:
        logger.info("All files are there: nothing to fetch.")
    logger.info("Check the copy: deepicd physionet verify %s", folder)


@physionet.command()
@click.argument("folders", type=FOLDER, nargs=-1, required=True, metavar="DIR...")
def verify(folders: tuple[Path, ...]) -> None:
    """Check which release a copy is, and whether it is complete.

    DIR holds hosp/ or note/, directly or a few folders below. Compares files with SHA256SUMS.txt, rows with the counts
    of known releases, and the parts with each other; changes nothing. Exits with 1 if something is wrong.

    \b
    deepicd physionet verify ~/mimic
    deepicd physionet verify ~/mimiciv/3.1 ~/mimic-iv-note/2.2
    """
    from builders.physionet.copy_parts import find_parts
    from builders.physionet.verify import check_parts, format_report, list_checks, require_no_difference

    sections = check_parts(find_parts(folders))
    json_output.offer(list_checks(sections))
    click.echo(format_report(sections))
    require_no_difference(sections)
