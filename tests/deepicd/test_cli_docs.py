"""docs/cli.md is what `--help` says, and docs/data.md what the schemas say."""

import runpy

import click
from conftest import REPOSITORY


def test_the_reference_of_commands_is_up_to_date(monkeypatch):
    monkeypatch.setenv("COLUMNS", "47")  # the terminal of whoever runs the tests does not matter
    render_reference = runpy.run_path(str(REPOSITORY / "docs" / "make_cli.py"))["render_reference"]
    written = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == render_reference(), "docs/cli.md is stale; run: make docs"


def test_the_data_dictionary_is_up_to_date_and_describes_every_column():
    render_dictionary = runpy.run_path(str(REPOSITORY / "docs" / "make_data_dictionary.py"))["render_dictionary"]
    written = (REPOSITORY / "docs" / "data.md").read_text(encoding="utf-8")
    assert written == render_dictionary(), "docs/data.md is stale; run: make docs"


def test_help_explains_every_option_and_names_the_recipes() -> None:
    docs = runpy.run_path(str(REPOSITORY / "docs" / "make_cli.py"))
    contexts = {context.command_path: context for context in docs["list_commands"](docs["cli"])}
    options = [
        (path, param)
        for path, context in contexts.items()
        for param in context.command.params
        if isinstance(param, click.Option)
    ]
    assert [(path, param.name) for path, param in options if not (param.help or param.hidden)] == []
    for path, folder in (("deepicd distill", "distill/recipes"), ("deepicd verify", "distill/verification/recipes")):
        [recipe] = [param.help for of, param in options if of == path and param.name == "recipe_path"]
        names = [file.stem for file in (REPOSITORY / folder).glob("*.yaml") if "judge" not in file.stem]
        assert names and [name for name in names if name not in recipe] == []
