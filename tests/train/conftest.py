"""What tests of training share. Those marked `engines` need TRL, and verl where they say so: make test-full."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("engines") and not find_spec("trl"):
        pytest.skip("needs TRL and verl: make test-full")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from small_dataset import small_dataset

    return small_dataset(tmp_path_factory.mktemp("dataset") / "small")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from small_dataset import small_model

    return small_model(tmp_path_factory.mktemp("model") / "small")


@pytest.fixture(scope="session")
def tuned(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped model, which has seen the form a few times and keeps to it now and then."""
    from train import config
    from train.sft import run

    out = tmp_path_factory.mktemp("tuned") / "out"
    run.train(str(dataset), config.load_sft_recipe(Path("tiny-sft"), effective_batch=8, per_device=8, epochs=2.5), out)
    return out / "model"
