"""The dataset folder of the guidelines."""

import subprocess
import sys
from pathlib import Path

import pytest

from deepicd import records
from deepicd.errors import DeepicdError
from deepicd.schema import SECTIONS
from guidelines import publication


@pytest.fixture(scope="module")
def published(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("published") / "dataset"
    publication.build_dataset([sample_folder], out)
    return out


def test_it_loads_in_a_fresh_process(published, tmp_path):
    script = f"from datasets import load_dataset; print(load_dataset({str(published)!r})['fy2025'][0]['id'])"
    environment = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == "front\n", done.stderr


def test_the_card_counts_what_is_there_and_explains_every_column(published):
    card = (published / "README.md").read_text()
    assert "| `fy2025` | 91 |" in card
    assert [field.name for field in SECTIONS if f"| `{field.name}` |" not in card] == []
    assert "$" not in card


def test_a_made_up_year_says_so_on_the_card(published):
    assert "**Made up for demonstration.**" in (published / "README.md").read_text()
    assert records.read(published).origin == "synthetic"


def test_a_year_named_twice_is_refused(sample_folder, tmp_path):
    with pytest.raises(DeepicdError, match="given twice"):
        publication.build_dataset([sample_folder, sample_folder], tmp_path / "out")
