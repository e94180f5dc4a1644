"""`deepicd train grpo --backend trl`: TRL's real trainer with the shipped tiny model, on a CPU."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Deepicd
from openai_server import MODEL, hang, openai_server
from small_dataset import small_model, small_verification

from deepicd import records, storage
from deepicd.schema import DESCRIPTIONS
from train.grpo.monitor import StepLog

pytestmark = pytest.mark.engines

FEW = {"batch": 4, "rollouts": 4, "mini_batch": 4, "micro_batch": 16, "max_response": 48, "max_steps": 2}


def command(dataset: Path, out: Path, **fields: object) -> list[object]:
    flags = [part for name, value in (FEW | fields).items() for part in ("--set", f"{name}={value}")]
    return ["train", "grpo", "--dataset", dataset, "--recipe", "tiny-grpo", *flags, out]


def test_a_run_leaves_a_model_reports_of_its_steps_and_a_record(
    dataset: Path, model: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    out = tmp_path / "out"
    done = deepicd(*command(dataset, out), "--model", model)
    assert done.code == 0, done.err
    first, second = StepLog(out).read()
    assert (first.step, second.step, first.answers) == (1, 2, 16)
    assert (first.zero_variance, first.truncated) == (1.0, 1.0)  # nothing but noise from random weights
    assert set(first.parts) == {"form", "outcome"}
    record = records.read(out)
    assert record is not None and record.command == "train grpo"
    assert record.counts.steps == 2 and record.counts.left_out == {"prompt too long": 0}
    assert (out / "model" / "model.safetensors").is_file()
    assert done.out.startswith("2 steps, reward 0.00 → 0.00")


def test_a_hopeless_run_stops_and_says_why(dataset: Path, model: Path, tmp_path: Path, deepicd: Deepicd) -> None:
    out = tmp_path / "out"
    fields = {"max_steps": 50, "stop_at_zero_variance": 0.95, "patience": 2}
    done = deepicd(*command(dataset, out, **fields), "--model", model)
    assert done.code == 1
    assert "Stopped at step 2: groups whose answers all earn the same, 100%, over 95% for 2 steps." in done.err
    assert len(StepLog(out).read()) == 2 and records.read(out) is None


def test_overlong_prompts_are_counted_before_anything_starts(
    dataset: Path, model: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    done = deepicd(*command(dataset, tmp_path / "out", max_prompt=24), "--model", model, "--dry-run")
    assert done.code == 0, done.err
    assert "left out (" in done.out and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--set", "rolouts=4"], "Did you mean rollouts?"),
        (["--set", "mini_batch=3"], "batch 4 is not a multiple of 3"),
        (["--set", "max_prompt=5"], "do not fill a batch of 4"),
        (["--recipe", "grpo-zero-7b", "--model", "deepicd-tiny-teacher"], "16 is not a multiple of 64"),
        (["--set", "judge_weight=0.2"], "names no judge"),
        (["--set", "hardware=gpu"], "is for 1 GPUs; this machine shows none"),
        (["--set", "attention=flash_attention_2"], "flash-attn is not installed"),
    ],
)
def test_bad_input_is_refused_before_a_minute_is_spent(
    dataset: Path, model: Path, tmp_path: Path, deepicd: Deepicd, flags: list[str], message: str
) -> None:
    out = tmp_path / "out"
    done = deepicd(*command(dataset, out), "--model", model, *flags)
    assert done.code == 1 and message in done.err, done.err
    assert "Traceback" not in done.err and not out.exists()


@pytest.fixture(scope="module")
def knowledge(sample_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What a judge is shown of the codes."""
    descriptions = tmp_path_factory.mktemp("judge") / "descriptions.parquet"
    storage.write_parquet(descriptions, [], DESCRIPTIONS, "public")
    return {"judge_guidelines": sample_folder, "judge_descriptions": descriptions}


def test_a_judge_that_would_be_shown_nothing_of_the_codes_is_refused(
    dataset: Path, model: Path, tmp_path: Path, deepicd: Deepicd, knowledge: dict[str, Path]
) -> None:
    fields = {"judge_weight": 0.2, "judge_model": "m", "judge_url": "http://127.0.0.1:9/v1"}
    for shown, missing in (({}, "judge_guidelines and no judge_descriptions"), (knowledge, "")):
        fields |= {name: path for name, path in shown.items() if name == "judge_guidelines"}
        done = deepicd(*command(dataset, tmp_path / "out", **fields), "--model", model, "--dry-run")
        assert done.code == 1 and f"the recipe has no {missing or 'judge_descriptions'}." in done.err


def test_a_judge_that_is_down_stops_a_run_before_it_starts(
    dataset: Path, model: Path, tmp_path: Path, deepicd: Deepicd, knowledge: dict[str, Path]
) -> None:
    fields = {"judge_weight": 0.2, "judge_model": "m", "judge_url": "http://127.0.0.1:9/v1", **knowledge}
    done = deepicd(*command(dataset, tmp_path / "out", **fields), "--model", model)
    assert done.code == 1 and "The judge at http://127.0.0.1:9/v1" in done.err
    assert not (tmp_path / "out").exists()


def test_a_judge_pays_while_it_lives_and_stops_nothing_when_it_dies(
    dataset: Path, tuned: Path, tmp_path: Path, deepicd: Deepicd, knowledge: dict[str, Path]
) -> None:
    out = tmp_path / "out"
    with openai_server() as server:
        score = server.completion

        def dies_after_six(body: dict[str, Any]) -> dict[str, Any]:
            if len(server.asked) >= 6:
                server.always = hang(60)
            return score(body)

        server.completion = dies_after_six  # type: ignore[method-assign]
        judged = {"judge_weight": 0.2, "judge_model": MODEL, "judge_url": server.url, "judge_timeout": 1.0}
        judged |= knowledge
        longer = {"batch": 8, "mini_batch": 8, "max_response": 128, "max_steps": 3, "learning_rate": 1e-3}
        done = deepicd(*command(dataset, out, **longer, **judged), "--model", tuned)
    assert done.code == 0, done.err
    reports = StepLog(out).read()
    assert len(reports) == 3 and all(set(report.parts) == {"form", "outcome", "judge"} for report in reports)
    assert reports[0].parts["judge"] > 0
    record = records.read(out)
    assert record is not None and record.counts.judge_missed["no answer within 1 seconds"] > 0
    assert "The judge gave no score for" in done.err


def test_a_model_without_a_template_is_refused(dataset: Path, tmp_path: Path, deepicd: Deepicd) -> None:
    base = small_model(tmp_path / "base", template="")
    done = deepicd(*command(dataset, tmp_path / "out"), "--model", base)
    assert done.code == 1 and "has no chat template" in done.err


def test_points_are_paid_for_while_the_server_lives_and_it_stops_nothing_when_it_dies(
    dataset: Path, tuned: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    out, verified = tmp_path / "out", small_verification(tmp_path / "verified", [f"{n}-DS-train" for n in range(40)])
    with openai_server() as server:

        def dies_after_six(body: dict[str, Any]) -> dict[str, Any]:
            """Meet the first point only: whose it is goes by lot."""
            if len(server.asked) >= 6:
                server.always = hang(60)
            number = body["messages"][-1]["content"].partition("# Line")[0].count("Is it")
            text = json.dumps({"met": [place == 0 for place in range(number)]})
            return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": {}}

        server.completion = dies_after_six  # type: ignore[method-assign]
        fields = {"points_weight": 1.0, "points_verified": verified, "judge_model": MODEL, "judge_url": server.url}
        fields |= {"judge_timeout": 1.0, "batch": 8, "mini_batch": 8, "max_response": 128, "max_steps": 3}
        other = small_verification(tmp_path / "other", ["x", "y"])
        done = deepicd(*command(dataset, out, **fields | {"points_verified": other}), "--model", tuned)
        assert done.code == 1 and "No prompt is about a stay" in done.err
        done = deepicd(*command(dataset, out, **fields), "--model", tuned)
    assert done.code == 0, done.err
    assert all(set(report.parts) == {"form", "outcome", "points"} for report in StepLog(out).read())
    record = records.read(out)
    assert record is not None and record.counts.points_missed["no answer within 1 seconds"] > 0
    assert "40 of 48 prompts are about a stay with points, which the reward pays for." in record.notes
    assert "The grader of points gave no score for" in done.err
