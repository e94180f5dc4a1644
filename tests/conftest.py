"""What tests share: the command line in process, a small made-up copy, and real data where it is at hand."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

REPOSITORY = Path(__file__).parent.parent

settings.register_profile("quick", max_examples=30, deadline=None)  # a busy machine is no failure
settings.register_profile("full", max_examples=300, deadline=None)  # make test-full
settings.load_profile("quick")


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Deepicd = Callable[..., Outcome]


@pytest.fixture
def deepicd(capfd: pytest.CaptureFixture[str]) -> Deepicd:
    """Run `deepicd ARGS` through its real entry point, in this process."""
    from deepicd.cli import main

    def run(*args: object) -> Outcome:
        capfd.readouterr()
        try:
            main([str(arg) for arg in args])
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capfd.readouterr()
        return Outcome(code, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real, open files that the repository does not hold (DEEPICD_TEST_DATA); without them the test is skipped."""
    folder = Path(os.environ.get("DEEPICD_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("needs real files; name their folder with DEEPICD_TEST_DATA")
    return folder


def build_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """Return a folder that the first of all workers builds. Tests only read it."""
    shared = factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    folder, done = shared / name, shared / f"{name}.done"
    with FileLock(shared / f"{name}.lock"):
        if not done.exists():
            folder.mkdir()
            build(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def sample_pdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from guidelines.sample.document import write_sample

    return (
        build_once(tmp_path_factory, "sample", lambda folder: write_sample(folder / "guideline.pdf")) / "guideline.pdf"
    )


@pytest.fixture(scope="session")
def sample_folder(sample_pdf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from guidelines import parse

    return build_once(tmp_path_factory, "parsed", lambda out: parse.parse_pdf(sample_pdf, out)) / "fy2025"
