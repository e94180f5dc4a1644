"""What tests share: the command line in process, a small made-up copy, and real data where it is at hand."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


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


@pytest.fixture(scope="session")
def sample_pdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from guidelines.sample.document import write_sample

    return write_sample(tmp_path_factory.mktemp("sample") / "guideline.pdf")


@pytest.fixture(scope="session")
def sample_folder(sample_pdf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from guidelines import parse

    out = tmp_path_factory.mktemp("parsed")
    parse.parse_pdf(sample_pdf, out)
    return out / "fy2025"
