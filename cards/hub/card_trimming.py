"""README.md of a repository: its YAML and its text taken apart, trimmed to what the repository holds, put together."""

import re
from pathlib import Path
from typing import Any

import yaml

from deepicd.errors import DeepicdError

ROWS = ("configs", "dataset_info")  # what names files and counts of rows
WEIGHTS = ("library_name", "pipeline_tag")  # what offers to load a model
FENCE = "---\n"
PLACEHOLDER = "PATH_OR_REPOSITORY"  # what the card's snippets load
PICTURE = re.compile(r"\]\((card/[\w.-]+\.png)\)")

NOTICE = """\
> **No rows are in this repository**, {holds}. {why}
> Who has access to MIMIC-IV and MIMIC-IV-Note makes the rows with deepicd {version}; the command lines stand in its
> README. `load_dataset` then loads the folder that it writes.
"""
NO_WEIGHTS = """\
> **No weights are in this repository**, only the card. {why}
> Who has the data makes them with deepicd {version} from the recipe below.
"""
HAVE_READ = (
    "They have read credentialed notes and can repeat them: PhysioNet's terms keep them among people who have signed."
)
CREDENTIALED = (
    "They descend from credentialed records, which PhysioNet's terms keep among people who have signed for them."
)
ELSEWHERE = "They were not published here."


def split_front_matter(readme: str) -> tuple[dict[str, Any], str]:
    """The YAML's values, and the text below. Raises DeepicdError where there is no YAML."""
    _, fence, rest = readme.partition(FENCE)
    front, end, body = rest.partition(f"\n{FENCE}")
    values = yaml.safe_load(front) if fence and end else None
    if not isinstance(values, dict):
        raise DeepicdError("README.md does not begin with YAML.", "Write it again: deepicd card OUT")
    return values, body


def list_figures(readme: str, out: Path) -> dict[str, Path]:
    """The pictures that a card shows, by name. What else lies beside them may be of an earlier card, or of anything."""
    return {name: out / name for name in sorted(set(PICTURE.findall(readme))) if (out / name).is_file()}


def join_front_matter(values: dict[str, Any], body: str) -> str:
    return f"{FENCE}{yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=10_000)}{FENCE}{body}"


def insert_repository(readme: str, repo: str) -> str:
    """The card as it is, its snippets naming the repository."""
    return readme.replace(PLACEHOLDER, repo)


def remove_rows(readme: str, *, holds: str, credentialed: bool, version: str) -> str:
    """The card of a repository that holds no rows: no configs, features or counts for a loader, and a word on why."""
    values, body = split_front_matter(readme)
    for key in ROWS:
        values.pop(key, None)
    notice = NOTICE.format(holds=holds, why=CREDENTIALED if credentialed else ELSEWHERE, version=version)
    return join_front_matter(values, _insert_notice(body, notice))


def remove_weights(readme: str, *, credentialed: bool, version: str) -> str:
    """The card of a repository that holds no model: nothing that offers to load one, and a word on why."""
    values, body = split_front_matter(readme)
    for key in WEIGHTS:
        values.pop(key, None)
    notice = NO_WEIGHTS.format(why=HAVE_READ if credentialed else ELSEWHERE, version=version)
    return join_front_matter(values, _insert_notice(body, notice))


def _insert_notice(body: str, notice: str) -> str:
    """The text of a card with a notice below its heading."""
    heading, newline, rest = body.lstrip("\n").partition("\n")
    return f"\n{heading}{newline}\n{notice}{rest}"


def diff_cards(theirs: str, ours: str) -> str:
    """A unified diff of two cards."""
    import difflib

    lines = difflib.unified_diff(
        theirs.splitlines(), ours.splitlines(), "README.md on the Hub", "README.md here", lineterm="", n=1
    )
    return "\n".join(list(lines)[:60])
