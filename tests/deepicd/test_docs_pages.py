"""Pages of docs/ can be found, and the commands on them exist."""

import re
import shlex

import click
import pytest
import yaml
from conftest import REPOSITORY

from deepicd import api
from deepicd.cli import cli

DOCS = REPOSITORY / "docs"
PAGES = sorted(path.name for path in (*DOCS.glob("*.md"), *DOCS.glob("*.ipynb")) if not path.name.startswith("_"))
GUIDES = ["tutorial.md", "credentialed.md", "faq.md", "paper.md"]
COMMAND = re.compile(r"^(?:\$ )?(deepicd .*)$", re.MULTILINE)


def find_options(words: list[str]) -> set[str]:
    """Return every option of the command that a line calls. `deepicd guidelines PDF OUT` means `guidelines parse`."""
    command: click.Command = cli
    context = click.Context(cli)
    for word in (*words[1:], "parse"):
        if not isinstance(command, click.Group):
            break
        command = command.get_command(context, word) or command
    assert not isinstance(command, click.Group), words
    return {name for param in command.params for name in (*param.opts, *param.secondary_opts)}


def test_every_page_is_in_the_site_the_overview_and_the_list_for_programs() -> None:
    navigation = yaml.safe_dump(yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    overview = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = (REPOSITORY / "llms.txt").read_text(encoding="utf-8")
    assert [page for page in PAGES if page not in navigation] == []
    assert [page for page in PAGES if f"({page})" not in overview and page != "index.md"] == []
    assert [page for page in PAGES if f"(docs/{page})" not in listed] == []


@pytest.mark.parametrize("page", GUIDES)
def test_links_of_a_guide_lead_to_files(page: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", (DOCS / page).read_text(encoding="utf-8"))
    assert [target for target in targets if not (DOCS / target).is_file()] == []


@pytest.mark.parametrize("page", ["tutorial.md", "credentialed.md"])
def test_every_command_of_a_guide_exists_with_its_options(page: str) -> None:
    lines = COMMAND.findall((DOCS / page).read_text(encoding="utf-8"))
    assert len(lines) > 5
    for line in lines:
        words = shlex.split(line, comments=True)
        assert {word for word in words if word.startswith("--")} <= find_options(words), line


def test_the_api_reference_has_every_name_of_the_api() -> None:
    listed = re.findall(r"^ {8}- (\w+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(api.__all__)
