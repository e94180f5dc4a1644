"""The shape of the repository: stages stand on the floor and never lean on each other."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deepicd.cli import COMMANDS

REPOSITORY = Path(__file__).parent.parent.parent
STAGES = ("scrapers", "guidelines", "builders", "distill", "train", "cards")
ROOF = ("cli.py", "demo.py")  # the modules of the floor's folder that may call the stages


def imported(file: Path) -> set[str]:
    """Top-level names that a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_the_floor_and_no_other_stage(stage: str) -> None:
    files = list((REPOSITORY / stage).rglob("*.py"))
    assert len(files) > 1
    strays = {file.name: found for file in files if (found := imported(file) & (set(STAGES) - {stage}))}
    assert not strays


def test_the_floor_imports_no_stage() -> None:
    floor = [file for file in (REPOSITORY / "deepicd").rglob("*.py") if file.name not in ROOF]
    strays = {file.name: found for file in floor if (found := imported(file) & set(STAGES))}
    assert not strays


def test_help_loads_no_stage_and_no_heavy_library() -> None:
    heavy = [*STAGES, "pyarrow", "duckdb", "scrapy", "pdfplumber", "matplotlib", "datasets", "simple_icd_10_cm", "rich"]
    script = f"""
import sys
from deepicd.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
loaded = set({heavy!r}) & set(sys.modules)
sys.exit(f"loaded: {{loaded}}" if loaded else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_each_commands_help_ends_in_a_line_to_paste(command: str) -> None:
    script = f"import sys; from deepicd.cli import main; main([{command!r}, '--help'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert f"deepicd {command} " in done.stdout.split("Options:")[0], done.stdout + done.stderr


def test_every_command_stands_in_the_readme() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert [command for command in COMMANDS if f"deepicd {command}" not in readme] == []


def test_what_the_readme_links_to_is_there_and_nothing_is_left_to_fill_in() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", readme) if "://" not in link]
    assert len(links) >= 4
    assert [link for link in links if not (REPOSITORY / link).is_file()] == []
    assert not re.search(r"@[A-Z]+@|TODO|FIXME", readme)
