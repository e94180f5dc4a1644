"""The card: every figure from the files, no small cell of credentialed data, loadable with `datasets` alone."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cohorts import write_cohort, write_dataset

from builders.dataset.assemble import AssembleOptions, assemble
from cards.dataset_card import write_card
from deepicd.errors import DeepicdError
from distill import run
from distill.judge import JudgeJob, judge
from distill.recipe import Recipe

RECIPE = Recipe(name="test", engine="rehearsal", model="none")


def carded(folder: Path, rows: int = 300) -> Path:
    dataset = write_dataset(folder, rows, recipe=RECIPE)
    write_card(dataset)
    return dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carded(tmp_path_factory.mktemp("card"))


def front_matter(dataset: Path) -> dict[str, object]:
    parsed: dict[str, object] = yaml.safe_load((dataset / "README.md").read_text().split("---\n")[1])
    return parsed


LOAD = """
import json, sys
from datasets import load_dataset
print(json.dumps([load_dataset(sys.argv[1], config).num_rows for config in ("traces", "sft", "grpo")]))
print(json.dumps(load_dataset(sys.argv[1]).num_rows))
"""


def test_datasets_loads_each_config_by_its_name_in_a_fresh_process(dataset: Path, tmp_path: Path) -> None:
    """Row counts in the YAML are checked by `datasets` as it loads: a wrong one fails."""
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, dataset], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    by_config, default = map(json.loads, done.stdout.splitlines()[-2:])
    record = json.loads((dataset / "run.json").read_text())
    assert dict(zip(("traces", "sft", "grpo"), by_config, strict=True)) == record["counts"]["rows"]
    assert default == by_config[0]


def test_a_card_of_scored_traces_names_the_judge(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 100)
    run.distill(cohort, tmp_path / "traces", RECIPE)
    judge(
        JudgeJob(
            tmp_path / "traces",
            tmp_path / "scores",
            Recipe(name="judge", engine="rehearsal", model="a judge", prompt="rubric-1"),
        )
    )
    assemble(cohort, tmp_path / "traces", tmp_path / "dataset", AssembleOptions(scores=tmp_path / "scores"))
    write_card(tmp_path / "dataset")
    text = (tmp_path / "dataset" / "README.md").read_text()
    assert "**Scores** (`judge_score`, 1 to 5): rubric `rubric-1`, by a judge, " in text
    assert "No model has read these traces: the scores are drawn by chance." in text


def test_the_card_says_that_records_are_made_up_and_traces_by_no_model(dataset: Path) -> None:
    text = (dataset / "README.md").read_text()
    assert "Every patient in here is invented" in text
    assert "No language model wrote these traces" in text
    assert front_matter(dataset)["license"] == "mit"


def test_the_cards_figures_are_those_of_the_files(dataset: Path) -> None:
    text = (dataset / "README.md").read_text()
    assert "| `grpo` | 210 | 30 | 60 | 300 |" in text
    assert "| IX Diseases of the circulatory system | 180 | 126 | 18 | 36 | 180 |" in text
    assert "| discharge notes | 350 |  |" in text
    assert "| with admission sections | 300 | 3 no admission section |" in text
    assert "| codes | 0 | 0 | 3 | 1 | 4 |" in text
    assert f"digest `{RECIPE.digest}`" in text
    for link in re.findall(r"\]\((card/[^)]+)\)", text):
        assert (dataset / link).read_bytes().startswith(b"\x89PNG")


def test_the_card_of_made_up_records_shows_two_rows_and_no_id(dataset: Path) -> None:
    text = (dataset / "README.md").read_text()
    assert text.count("<details>") == 2
    assert text.count("Pressure for two hours") >= 2
    assert not re.search(r"\b[12]\d{7}\b", text)


def test_the_same_dataset_gives_the_same_card(dataset: Path) -> None:
    files = [dataset / "README.md", *sorted((dataset / "card").glob("*.png"))]
    before = [file.read_bytes() for file in files]
    (dataset / "card" / "run.json").unlink()
    write_card(dataset)
    assert [file.read_bytes() for file in files] == before


def test_a_second_card_is_not_drawn_and_an_edited_one_is(tmp_path: Path) -> None:
    dataset = carded(tmp_path, 30)
    figure = dataset / "card" / "chapters.png"
    before = figure.stat().st_mtime_ns
    write_card(dataset)
    assert figure.stat().st_mtime_ns == before
    (dataset / "README.md").write_text("edited")
    write_card(dataset)
    assert "Every patient in here is invented" in (dataset / "README.md").read_text()


def test_a_folder_without_a_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeepicdError, match="holds no finished run"):
        write_card(tmp_path)
