"""The reward for what the stay bears out: who earns it, who does not, and that no word of the outcome comes with it."""

from pathlib import Path
from typing import cast

import pytest
from cohorts import write_cohort
from copies import discharge, note, stay, write_copy

from builders.cohort.build import build
from deepicd import records, storage
from deepicd.engines.chat_template import ChatTemplate
from deepicd.errors import DeepicdError
from deepicd.schema import COHORT
from train.base_model import PretrainedModel
from train.config import load_grpo_recipe
from train.data import DatasetConfig, LengthSummary
from train.grpo.setup import GrpoSetup
from train.rewards import score, trl, verl
from train.rewards.bench import benchmark_rewards
from train.rewards.borne_out import BorneOut

RIGHT = (
    "<think>The flight before speaks for a pulmonary embolism. Heparin will be given. Pneumonia is unlikely.</think>"
    "<diagnosis>R05</diagnosis>"
)
WRONG = "<think>This is pneumonia, and there is no pulmonary embolism.</think><diagnosis>R05</diagnosis>"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("held")
    stays = range(20000001, 20000011)
    text = note("Cough", "It began after a long flight.")
    text = text.replace(
        "Hospital Course:\nLEAK", "Hospital Course:\n# Pulmonary embolism: heparin. No pneumonia on CT."
    )
    diagnoses = [row for hadm_id in stays for row in stay(hadm_id, [(1, "R059")])]
    build(write_copy(folder / "copy", diagnoses, [discharge(h, text) for h in stays]), folder / "copy", folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def row(cohort: Path) -> dict[str, str]:
    [first, *_] = storage.read_table(cohort / "train.parquet", COHORT).to_pylist()
    return {"note_id": first["note_id"], "note": first["admission_note"]}


def test_what_came_earns_and_what_did_not_costs(cohort: Path, row: dict[str, str]) -> None:
    held = BorneOut(cohort)
    texts = [RIGHT, WRONG, RIGHT.replace("</think>", ""), "<think>Cough.</think><diagnosis>R05</diagnosis>"]
    earned = held.score([row["note_id"]] * 4, [row["note"]] * 4, texts)
    assert earned == [1.0, pytest.approx(-2 / 3), None, 0.0]
    assert held.score(["no such note"], ["x"], [RIGHT]) == [None]
    assert held.unknown == 1


def test_trl_and_verl_pay_it_by_its_weight(cohort: Path, row: dict[str, str]) -> None:
    scheme = score.parse_scheme("default", borne_out=2.0)
    *_, function = trl.build_reward_functions(scheme, borne_out=BorneOut(cohort).score)
    assert function([RIGHT, WRONG], extra_info=[row, row]) == [2.0, pytest.approx(-4 / 3)]
    paid = verl.compute_score("d", RIGHT, "R05", row, borne_out=2.0, cohort=str(cohort))
    assert paid["borne_out"] == 2.0
    assert paid["score"] == pytest.approx(paid["form"] + paid["outcome"] + 2.0)
    with pytest.raises(DeepicdError, match="no cohort with outcomes was given"):
        trl.build_reward_functions(scheme)


def test_without_a_weight_nothing_changes() -> None:
    assert "borne_out" not in score.DEFAULT.options
    assert score.score([RIGHT], ["R05"], borne_out=[1.0])[0].borne_out is None
    assert "borne_out" not in verl.compute_score("d", RIGHT, "R05")


def test_a_recipe_that_pays_for_it_names_a_cohort() -> None:
    with pytest.raises(DeepicdError, match="names no cohort with outcomes"):
        load_grpo_recipe(Path("tiny-grpo"), borne_out_weight=1.0)
    recipe = load_grpo_recipe(Path("tiny-grpo"), borne_out_weight=1.0, borne_out_cohort="out/cohort")
    assert recipe.weights["borne_out"] == 1.0
    assert "borne_out_weight" not in load_grpo_recipe(Path("tiny-grpo")).options


def test_no_trace_that_plays_for_it_earns_it() -> None:
    earned = {str(case["case"]): float(case["borne_out"]) for case in benchmark_rewards()["expectations"]}
    assert earned["expects what came"] == 1.0
    assert earned["expects one thing and is right"] == pytest.approx(1 / 3, abs=0.01)
    playing = ["claims everything", "weighs everything", "excludes everything", "copies the note ten times", "vague"]
    assert max(earned[name] for name in playing) <= 0
    assert earned["is wrong"] == pytest.approx(-2 / 3, abs=0.01)


def test_another_cohort_than_that_of_the_dataset_is_refused(tmp_path: Path) -> None:
    own, other = write_cohort(tmp_path / "own", 30), write_cohort(tmp_path / "other", 31)
    plan = records.plan_run("assemble", options={}, inputs={"cohort": own})
    with records.open_fresh_folder(tmp_path / "dataset", plan, "synthetic") as run:
        (run.folder / "grpo").mkdir()
        (run.folder / "grpo" / "train-00000-of-00001.parquet").write_bytes(b"rows")
        run.counts = records.Counts(rows={})
    dataset = DatasetConfig(tmp_path / "dataset", "grpo", "synthetic")
    base = PretrainedModel("some/model", None, "", cast(ChatTemplate, None), 0)

    def set_up(cohort: Path) -> GrpoSetup:
        recipe = load_grpo_recipe(Path("tiny-grpo"), borne_out_weight=1.0, borne_out_cohort=str(cohort))
        return GrpoSetup(recipe, dataset, base, LengthSummary.from_lengths([1], 2), [0])

    assert set_up(own).plan.inputs["borne_out_cohort"].path == str(own)
    with pytest.raises(DeepicdError, match="dataset: descends from another cohort than borne_out_cohort"):
        _ = set_up(other).plan
