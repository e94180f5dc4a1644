"""`deepicd physionet fetch` and `deepicd physionet verify`."""

import logging
from pathlib import Path

import click

from builders.mimic.physionet.releases import MIMIC, NOTE
from builders.mimic.physionet.session import PHYSIONET, USER_AGENT

logger = logging.getLogger(__name__)

FOLDER = click.Path(path_type=Path)


@click.group()
def physionet() -> None:
    """MIMIC-IV and MIMIC-IV-Note: download what is needed, check a copy that is there.

    \b
    deepicd physionet fetch --user NAME ~/mimic
    deepicd physionet verify ~/mimic
    """


@physionet.command()
@click.argument("folder", type=FOLDER, metavar="DIR")
@click.option("--user", metavar="NAME", help="Your PhysioNet account; else the one in ~/.netrc.")
@click.option("--mimiciv", default=MIMIC.version, show_default=True, metavar="VERSION", help="Of MIMIC-IV.")
@click.option("--note", default=NOTE.version, show_default=True, metavar="VERSION", help="Of MIMIC-IV-Note.")
@click.option("--base-url", default=PHYSIONET, show_default=True, metavar="URL", help="Another site of its kind.")
@click.option("--user-agent", default=USER_AGENT, show_default=True, metavar="TEXT", help="How we present ourselves.")
def fetch(folder: Path, user: str | None, mimiciv: str, note: str, base_url: str, user_agent: str) -> None:
    """Download the five tables that the cohort needs, some 1.2 GB, into DIR/mimiciv and DIR/mimic-iv-note.

    The password is asked for, or taken from ~/.netrc or DEEPICD_PHYSIONET_PASSWORD. A download that was interrupted
    goes on with the same command; every file is proven by its checksum; a second run fetches nothing.

    \b
    deepicd physionet fetch --user NAME ~/mimic
    """
    from urllib.parse import urlsplit

    from builders.mimic.physionet.account import find_account
    from builders.mimic.physionet.fetch import fetch as bring
    from builders.mimic.physionet.session import check_base_url

    url = check_base_url(base_url)
    fetched = bring(
        folder.expanduser(),
        url,
        lambda: find_account(user, urlsplit(url).hostname or ""),
        {MIMIC.slug: mimiciv, NOTE.slug: note},
        user_agent=user_agent,
    )
    for path in fetched:
        click.echo(path)
    logger.info(f"{len(fetched)} files fetched." if fetched else "All files are there: nothing to fetch.")
    logger.info("Check the copy: deepicd physionet verify %s", folder)


@physionet.command()
@click.argument("folders", type=FOLDER, nargs=-1, required=True, metavar="DIR...")
def verify(folders: tuple[Path, ...]) -> None:
    """Say which release a copy is, whether it is whole, and whether its parts belong together.

    DIR holds hosp/ or note/, itself or some folders below. Compares files with SHA256SUMS.txt and rows with the counts
    of the known releases; changes nothing. Exits with 1 if something is wrong.

    \b
    deepicd physionet verify ~/mimic
    deepicd physionet verify ~/mimiciv/3.1 ~/mimic-iv-note/2.2
    """
    from builders.mimic.check_report import print_report
    from builders.mimic.physionet.copy_parts import find_parts
    from builders.mimic.physionet.verify import check_parts

    print_report(check_parts(find_parts(folders)))
