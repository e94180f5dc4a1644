"""The snippets of README and card, as printed, in fresh processes: with `datasets`, DuckDB, TRL and verl."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from cohorts import write_dataset
from conftest import REPOSITORY

from cards.dataset_card import write_card
from deepicd import records

WEIGHTS = REPOSITORY / "distill" / "tiny_teacher" / "weights"
MODEL = "Qwen/Qwen2.5-7B-Instruct"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with out/demo/dataset in it, carded, as `make demo` leaves one."""
    place = tmp_path_factory.mktemp("place")
    write_dataset(place / "out" / "demo", 60)
    write_card(place / "out" / "demo" / "dataset")
    return place


def snippets(markdown: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", markdown.read_text(encoding="utf-8"), re.DOTALL)


def of_card(place: Path, about: str) -> str:
    """The card's snippet that imports something, its placeholders filled in."""
    [found] = [text for text in snippets(place / "out/demo/dataset/README.md") if f"import {about}" in text]
    return re.sub(r"PATH_OR_REPOSITORY|FOLDER", "out/demo/dataset", found).replace(MODEL, str(WEIGHTS))


def run(code: str, place: Path) -> str:
    environment = {**os.environ, "HF_HOME": str(place / "cache"), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_the_readmes_snippets_run_where_the_demo_has_run(place: Path) -> None:
    found = snippets(REPOSITORY / "README.md")
    assert [about for code in found for about in ("datasets", "api") if about in code] == ["datasets", "api"]
    code = "print(dataset.num_rows, {claim.kind.value for claim in claims}, reward, scores.accuracy, scores.macro_f1)"
    rows, *kinds, reward, accuracy, mean = run("\n".join([*found, code]), place).split()
    assert int(rows) > 0 and "supported" in "".join(kinds)
    assert (float(reward), float(accuracy), float(mean)) == (pytest.approx(3.8), 0.5, 0.5)


def test_the_cards_first_snippet_loads_and_streams(place: Path) -> None:
    code = of_card(place, "load_dataset\n\ndataset")
    printed = run(f"{code}\nassert longest == max(dataset['test']['words'])", place)
    assert "pale and sweating" in printed


def test_the_cards_question_to_the_files_is_answered(place: Path) -> None:
    printed = run(of_card(place, "duckdb"), place)
    assert "I21" in printed
    assert "myocardial infarction" in printed


EVERY = """
import json
from datasets import load_dataset
rows = {}
for config in ("traces", "sft", "grpo"):
    local = load_dataset("out/demo/dataset", config)
    for split, stream in load_dataset("out/demo/dataset", config, streaming=True).items():
        assert stream.features == local[split].features
        assert list(stream) == list(local[split]), (config, split)
    rows[config] = local.num_rows
print(json.dumps(rows))
"""


def test_every_config_streams_what_it_loads(place: Path) -> None:
    record = json.loads((place / "out/demo/dataset/run.json").read_text())
    assert json.loads(run(EVERY, place).splitlines()[-1]) == record["counts"]["rows"]


@pytest.mark.engines
@pytest.mark.skipif(find_spec("trl") is None, reason="needs TRL")
def test_trl_trains_on_the_config_sft_as_the_card_says(place: Path) -> None:
    code = of_card(place, "SFTConfig").replace(
        "max_length=4096", "max_length=2048, max_steps=1, use_cpu=True, bf16=False, report_to='none'"
    )
    check = """
from transformers import TrainerCallback
import trl
class Look(trl.SFTTrainer):
    def compute_loss(self, model, inputs, **rest):
        masked = (inputs["labels"] == -100).float().mean().item()
        print("masked", masked)
        return super().compute_loss(model, inputs, **rest)
trl.SFTTrainer = Look
"""
    printed = run(check + code, place)
    masked = [float(share) for share in re.findall(r"masked ([\d.]+)", printed)]
    assert masked and all(0.2 < share < 1 for share in masked)  # the prompt is not learnt, the completion is
    assert "'train_loss'" in printed or "train_loss" in printed


@pytest.mark.engines
@pytest.mark.skipif(find_spec("verl") is None, reason="needs verl")
def test_verl_reads_the_config_grpo_as_the_card_says(place: Path) -> None:
    code = of_card(place, "RLHFDataset")
    check = """
row = prompts[0]
print(len(prompts), row["data_source"], row["reward_model"]["ground_truth"], row["raw_prompt"][0]["role"])
"""
    printed = run(code + check, place)
    assert re.search(r"42 mimic-reason I214 system", printed)


@pytest.mark.engines
@pytest.mark.skipif(find_spec("transformers") is None, reason="needs transformers")
def test_a_trained_model_answers_when_used_as_its_card_says(place: Path) -> None:
    plan = records.plan_run("train sft", options={"name": "tiny", "model": str(WEIGHTS)}, inputs={})
    with records.open_resumable_folder(place / "trained", plan, "synthetic"):
        pass
    write_card(place / "trained")
    [code] = snippets(place / "trained" / "README.md")
    code = code.replace("MODEL_FOLDER_OR_REPOSITORY", str(WEIGHTS)).replace("max_new_tokens=1024", "max_new_tokens=16")
    assert run(code.replace("PATH_OR_REPOSITORY", "out/demo/dataset"), place).strip()
