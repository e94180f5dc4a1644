"""The locks: exact versions, a hash for each, no index address, and nothing that the project needs left out."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parent.parent.parent
LOCKS = ("constraints.txt", "engines.txt")


def read_lock(name: str) -> dict[str, str]:
    """Return requirement → what follows it, hashes included, in a lock."""
    text = (REPOSITORY / "requirements" / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.split("==")[0].strip(): line for line in lines}


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_exact_and_has_hashes(name: str) -> None:
    pattern = re.compile(r"[A-Za-z0-9._\[\]-]+==[\w.+!]+( ; [^-]+?)?(\s+--hash=sha256:[0-9a-f]{64})+")
    assert [key for key, line in read_lock(name).items() if not pattern.fullmatch(line)] == []


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_names_an_index(name: str) -> None:
    text = (REPOSITORY / "requirements" / name).read_text(encoding="utf-8")
    assert not re.search(r"://|--(extra-)?index-url|--find-links", text)


def test_no_package_is_in_both_locks() -> None:
    assert read_lock("constraints.txt").keys() & read_lock("engines.txt").keys() == set()


def test_the_lock_holds_what_the_project_its_checks_and_its_build_ask_for() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    chosen = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for extra in Requirement(extras["all"][0]).extras:
        chosen += extras[extra]
    dev = (REPOSITORY / "requirements" / "dev.txt").read_text(encoding="utf-8").splitlines()
    chosen += [line.split("#")[0] for line in dev if line.split("#")[0].strip()]
    required = {re.sub(r"[-_.]+", "-", Requirement(line.strip()).name).lower() for line in chosen}
    assert required - read_lock("constraints.txt").keys() == set()
