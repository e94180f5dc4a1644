"""Trim a folder's card to README.md of a repository, which may lack the rows or weights.

huggingface_hub's RepoCard splits a card into YAML and text and joins them again in the same order and bytes.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    from huggingface_hub import RepoCard

ROW_KEYS = ("configs", "dataset_info")  # name files and count rows
WEIGHT_KEYS = ("library_name", "pipeline_tag")  # offer to load a model
PLACEHOLDER = "PATH_OR_REPOSITORY"  # what the card's snippets load
FIGURE = re.compile(r"\]\((card/[\w.-]+\.png)\)")
MAX_DIFF_LINES = 60

NO_ROWS = """\
> **No rows are in this repository**, {holds}. {why}
> Anyone with access to MIMIC-IV and MIMIC-IV-Note can make the rows with deepicd {version}; its README has the
> command lines. `load_dataset` then loads the folder that it writes.
"""
NO_WEIGHTS = """\
> **No weights are in this repository**, only the card. {why}
> Anyone with the data can train them with deepicd {version} from the recipe below.
"""
MODEL_READ_NOTES = (
    "They were trained on credentialed notes and can repeat them: PhysioNet's terms keep them among people who have"
    " signed."
)
ROWS_ARE_CREDENTIALED = (
    "They descend from credentialed records, which PhysioNet's terms keep among people who have signed for them."
)
NOT_PUBLISHED_HERE = "They were not published here."


def parse_card(readme: str) -> "RepoCard":
    """Return the YAML (`.data`) and the text (`.text`) of a card. Raises DeepicdError if there is no YAML."""
    from huggingface_hub import RepoCard
    from huggingface_hub.repocard import REGEX_YAML_BLOCK
    from yaml import YAMLError

    try:
        card = RepoCard(readme) if REGEX_YAML_BLOCK.search(readme) else None
    except (ValueError, TypeError, YAMLError):  # a list, or keys that are not strings
        card = None
    if card is None or not card.data.__dict__:
        raise DeepicdError("README.md does not begin with YAML.", "Write it again: deepicd card OUT")
    return card


def list_figures(readme: str, folder: Path) -> dict[str, Path]:
    """Return name → file of the figures that a card shows. Other files beside them may not belong to it."""
    return {name: folder / name for name in sorted(set(FIGURE.findall(readme))) if (folder / name).is_file()}


def insert_repository(readme: str, repo: str) -> str:
    """Return the card with the repository's name in its snippets."""
    return readme.replace(PLACEHOLDER, repo)


def remove_rows(readme: str, *, holds: str, credentialed: bool, version: str) -> str:
    """Return the card of a repository without rows: no loader fields in its YAML, and a notice that says why."""
    why = ROWS_ARE_CREDENTIALED if credentialed else NOT_PUBLISHED_HERE
    return _trim(readme, ROW_KEYS, NO_ROWS.format(holds=holds, why=why, version=version))


def remove_weights(readme: str, *, credentialed: bool, version: str) -> str:
    """Return the card of a repository without weights: no loader fields, and a notice that says why."""
    why = MODEL_READ_NOTES if credentialed else NOT_PUBLISHED_HERE
    return _trim(readme, WEIGHT_KEYS, NO_WEIGHTS.format(why=why, version=version))


def _trim(readme: str, keys: tuple[str, ...], notice: str) -> str:
    """Return a card without some keys of its YAML, and with a notice below its heading."""
    card = parse_card(readme)
    for key in keys:
        card.data.pop(key)
    heading, newline, rest = card.text.lstrip("\n").partition("\n")
    card.text = f"\n{heading}{newline}\n{notice}{rest}"
    return str(card)


def diff_cards(theirs: str, ours: str) -> str:
    """Return a unified diff of two cards."""
    import difflib

    lines = difflib.unified_diff(
        theirs.splitlines(), ours.splitlines(), "README.md on the Hub", "README.md here", lineterm="", n=1
    )
    return "\n".join(list(lines)[:MAX_DIFF_LINES])
