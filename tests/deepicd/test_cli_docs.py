"""docs/cli.md is what `--help` says, and docs/data.md what the schemas say."""

import runpy

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
