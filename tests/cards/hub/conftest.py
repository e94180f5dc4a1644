"""One Hub on loopback for all tests in this folder, datasets to publish, and the publisher in its own process."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cohorts import write_cohort
from conftest import Outcome
from hub_server import serve_hub
from hub_state import Hub, State

from builders.dataset.assemble import assemble
from cards.dataset_card import write_card
from deepicd.http import RetryPolicy
from deepicd.storage import Origin
from distill.recipe import Recipe
from distill.run import distill

WRITE = "hf_write"
CODES = ("I214", "I214", "I5021", "J189", "C7A8")
NOTE = "## Chief Complaint\nChest pain\n\n## History of Present Illness\n" + " ".join(
    f"On day {n} she felt pressure behind the breastbone, and it woke her." for n in range(6)
)


@dataclass
class Loopback:
    """The server: its contents and its address."""

    hub: Hub
    url: str
    folder: Path
    numbers: Iterator[int]

    def new(self, owner: str = "sam") -> str:
        """Return the name of a repository that does not exist yet."""
        return f"{owner}/set-{next(self.numbers)}"

    def states(self, repo: str) -> list[State]:
        return list(self.hub.states(repo))


@pytest.fixture(scope="package", autouse=True)
def online() -> Iterator[None]:
    """Let the Hub's client work on loopback: tests of engines and trainers set it to offline."""
    from huggingface_hub import constants

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield


@pytest.fixture(scope="session")
def loopback(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    folder = tmp_path_factory.mktemp("hub")
    with serve_hub(folder / "objects") as (hub, url):
        yield Loopback(hub, url, folder, count())


def dataset(folder: Path, origin: Origin, rows: int = 60, note: str = NOTE) -> Path:
    """Write a dataset folder with its card; every note and id is made up, whatever its origin says."""
    cohort = write_cohort(folder / "cohort", rows, origin, CODES, [note] * rows)
    distill(cohort, folder / "traces", Recipe(name="test", engine="rehearsal", model="none"), rehearse=True)
    assemble(cohort, folder / "traces", folder / "dataset")
    write_card(folder / "dataset")
    return folder / "dataset"


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dataset(tmp_path_factory.mktemp("made-up"), "synthetic")


@pytest.fixture(scope="session")
def credentialed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dataset(tmp_path_factory.mktemp("credentialed"), "mimic")


Send = Callable[..., Any]


@pytest.fixture
def send(loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Send:
    """Return the publisher in this process: (folder, repo, what, **options) → outcome, or the plan of a dry run."""
    import huggingface_hub.constants as constants

    from cards.hub.publication import open_publication
    from cards.hub.settings import PublicationOptions

    monkeypatch.setenv("HF_TOKEN", WRITE)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # read from the environment at its first import

    def started(
        out: Path,
        repo: str,
        what: Any = "card",
        *,
        dry_run: bool = False,
        endpoint: str = loopback.url,
        **wishes: Any,
    ) -> Any:
        options = PublicationOptions(
            folder=out, repo=repo, what=what, endpoint=endpoint, dry_run=dry_run, journals=tmp_path / "records",
            retry=RetryPolicy(timeout=20, attempts=3, first_wait=0.01), **wishes,
        )  # fmt: skip
        # other tests verify in a fresh process
        with open_publication(options, verifier=lambda *_: "not read again") as publication:
            return "\n".join(publication.describe_plan()) if dry_run else publication.send()

    return started


Run = Callable[..., Outcome]


@pytest.fixture
def run(loopback: Loopback, tmp_path: Path) -> Run:
    """Return `python -m deepicd …` in a user's environment: a token, the address, no cache."""

    def started(*words: object, token: str | None = WRITE, **environment: str) -> Outcome:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        given = {"HF_ENDPOINT": loopback.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        given |= {"HF_TOKEN": token} if token else {}
        done = subprocess.run(
            [sys.executable, "-m", "deepicd", *map(str, words)],
            env={**clean, **given, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return started
