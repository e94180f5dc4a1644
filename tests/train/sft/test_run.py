"""`deepicd train sft`: the real trainer, with a model of a hundred thousand weights and short made-up notes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Deepicd
from small_dataset import small_dataset, small_model

from deepicd import records
from deepicd.errors import DeepicdError
from train import config
from train.config import SftRecipe
from train.sft import run
from train.sft.run import IGNORED

pytestmark = pytest.mark.engines

FEW = {"max_steps": 4, "effective_batch": 8, "per_device": 4, "warmup_steps": 1}
FLAGS = [part for name, value in FEW.items() for part in ("--set", f"{name}={value}")]


def chosen(model: Path, **fields: object) -> SftRecipe:
    return config.load_sft_recipe(Path("tiny-sft"), model=str(model), **FEW | fields)


def test_the_loss_is_taken_on_the_answer_and_on_all_of_it(dataset: Path, model: Path) -> None:
    setup = run.prepare_sft(str(dataset), chosen(model))
    tokenizer = setup.base.chat.tokenizer
    for row in setup.train:
        prompt, answer = row.ids[: row.prompt_length].tolist(), row.ids[row.prompt_length :].tolist()
        assert row.labels == [IGNORED] * len(prompt) + answer
        assert tokenizer.decode(prompt).endswith("<|im_start|>assistant\n")
        assert tokenizer.decode(answer).startswith("<think>\nThe complaint is ")
        assert tokenizer.decode(answer).endswith("</diagnosis><|im_end|>\n")


def test_trl_would_make_the_same_tokens_and_mask(dataset: Path, model: Path, tmp_path: Path) -> None:
    from trl import SFTConfig, SFTTrainer

    setup = run.prepare_sft(str(dataset), chosen(model))
    settings = SFTConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none")
    rows = setup.dataset.read_rows("train").select_columns(["prompt", "completion"])
    theirs = SFTTrainer(str(model), args=settings, train_dataset=rows).train_dataset
    assert [row["input_ids"] for row in theirs] == [row.ids.tolist() for row in setup.train]
    assert [row["labels"] for row in theirs] == [row.labels for row in setup.train]


OPENING = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'].split('</think>')[-1] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)


def test_a_template_that_opens_the_block_and_drops_reasoning_does_neither_to_the_rows(
    dataset: Path, tmp_path: Path
) -> None:
    setup = run.prepare_sft(str(dataset), chosen(small_model(tmp_path / "model", template=OPENING)))
    text = setup.base.chat.tokenizer.decode(setup.train[0].ids.tolist())
    turn = text[text.rindex("<|im_start|>assistant") :]
    assert turn.count("<think>") == 1 and "The complaint is" in turn and turn.count("</think>") == 1
    assert setup.base.chat.opening == "<think>\n"


def test_the_ablation_learns_the_diagnosis_alone(dataset: Path, model: Path) -> None:
    setup = run.prepare_sft(str(dataset), chosen(model, target="outcome"))
    answer = setup.base.chat.tokenizer.decode(setup.train[0].ids[setup.train[0].prompt_length :].tolist())
    assert answer.startswith("<diagnosis>") and "think" not in answer


def test_a_run_leaves_a_model_that_answers_and_a_record(
    dataset: Path, model: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = tmp_path / "out"
    arguments = ["train", "sft", "--dataset", dataset, "--model", model, "--recipe", "tiny-sft", *FLAGS, out]
    done = deepicd(*arguments)
    assert done.code == 0, done.err
    record = records.read(out)
    assert record is not None and record.command == "train sft" and record.origin == "synthetic"
    counts = record.counts
    assert counts.steps == 4 and len(counts.losses) == 4 and counts.rows == {"train": 48, "validation": 8}
    assert counts.validation_loss["after"] < counts.validation_loss["before"]
    assert record.lineage["assemble"].counts.rows["sft"] == {"train": 48, "validation": 8, "test": 8}
    assert not [name for name in record.outputs if not name.startswith("model/")]
    AutoTokenizer.from_pretrained(out / "model")
    trained = AutoModelForCausalLM.from_pretrained(out / "model")
    assert 2 in trained.generation_config.eos_token_id
    assert deepicd(*arguments).code == 0  # the same command again does nothing
    assert records.read(out) == record
    other = deepicd(*arguments, "--set", "learning_rate=5e-4")
    assert other.code == 1 and "learning_rate was 0.001, now 0.0005" in other.err


@pytest.mark.parametrize(("wrong", "ends"), [({2}, False), (set(range(2, 40)), True)])
def test_an_update_whose_gradient_is_no_number_is_left_out(
    dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: set[int], ends: bool
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, Trainer

    step = Trainer.training_step

    def sometimes_wrong(self: Any, *args: Any, **kwargs: Any) -> Any:
        loss = step(self, *args, **kwargs)
        if self.state.global_step in wrong:
            next(self.model.parameters()).grad[0, 0] = float("nan")
        return loss

    monkeypatch.setattr(Trainer, "training_step", sometimes_wrong)
    recipe = chosen(model, max_steps=20, save_steps=0)
    if ends:
        with pytest.raises(DeepicdError, match="not finite in 10 updates in a row"):
            run.train(str(dataset), recipe, tmp_path / "out")
        return
    counts = run.train(str(dataset), recipe, tmp_path / "out").counts
    assert (counts.steps, counts.skipped_updates) == (20, 1)
    [skipped] = counts.skipped
    assert (skipped.step, skipped.weight) == (3, "model.embed_tokens.weight")
    assert skipped.batches == [[4, 44], [4, 43]]
    assert counts.validation_loss.after < counts.validation_loss.before
    trained = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "model")
    assert all(torch.isfinite(weight).all() for weight in trained.parameters())


def test_lora_is_merged_into_a_model_that_stands_alone(
    dataset: Path, model: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    from safetensors.torch import load_file

    out = tmp_path / "out"
    flags = [*FLAGS, "--set", "lora_rank=4", "--set", "warmup_steps=0"]
    done = deepicd("train", "sft", "--dataset", dataset, "--model", model, "--recipe", "tiny-sft", *flags, out)
    assert done.code == 0, done.err
    before, after = load_file(model / "model.safetensors"), load_file(out / "model" / "model.safetensors")
    assert before.keys() == after.keys()
    assert any((before[name] != after[name]).any() for name in before)


def test_a_killed_run_goes_on_from_its_checkpoint_and_another_recipe_may_not(
    dataset: Path, model: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    out = tmp_path / "out"
    flags = [*FLAGS, "--set", "max_steps=60", "--set", "save_steps=2", "--set", "eval_rows=0"]
    arguments = [
        "train",
        "sft",
        "--dataset",
        str(dataset),
        "--model",
        str(model),
        "--recipe",
        "tiny-sft",
        *flags,
        str(out),
    ]
    script = "import sys; from deepicd.cli import main; main(sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while not list(out.glob(".checkpoints/checkpoint-*/trainer_state.json")) and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    other = deepicd(*arguments, "--set", "seed=1")
    assert other.code == 1 and "holds checkpoints of another training: option seed was 42, now 1" in other.err
    assert records.read(out) is None
    # as much of it as was done, and a little more: the plan's own number of steps is what decides
    plan = json.loads((out / ".plan.json").read_text())
    assert plan["options"]["max_steps"] == 60
    resumed = subprocess.Popen([sys.executable, "-c", script, *arguments], stderr=subprocess.PIPE, text=True)
    _, stderr = resumed.communicate(timeout=600)
    assert resumed.returncode == 0, stderr
    record = records.read(out)
    assert record is not None and record.counts.resumed_at >= 2 and record.counts.steps == 60


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--set", "max_lenght=9"], "Did you mean max_length?"),
        (["--set", "per_device=3"], "effective_batch 8 is not a multiple of 3"),
        (["--set", "max_length=20"], "do not fill a batch of 8"),
        (["--set", "too_long=refuse", "--set", "max_length=43"], "the longest has 44"),
        (["--model", "nobody/no-such-model"], "There is no model 'nobody/no-such-model'"),
        (["--set", "hardware=gpu"], "is for 1 GPUs; this machine shows none"),
        (["--set", "max_length=999999"], "reads 2,048 tokens at most"),
        (["--set", "devices=2", "--set", "sharding=fsdp"], "accelerate shards on GPUs only"),
        (["--set", "packing=true"], "Packing makes 2 sequences of 1,024 tokens, which do not fill a batch of 8"),
    ],
)
def test_bad_input_is_refused_before_a_minute_is_spent(
    dataset: Path, model: Path, tmp_path: Path, deepicd: Deepicd, flags: list[str], message: str
) -> None:
    out = tmp_path / "out"
    arguments = ["train", "sft", "--dataset", dataset, "--model", model, "--recipe", "tiny-sft", *FLAGS, *flags, out]
    done = deepicd(*arguments)
    assert done.code == 1 and message in done.err, done.err
    assert "Traceback" not in done.err and not out.exists()


def test_a_dataset_without_the_config_and_a_model_without_a_template_are_named(
    dataset: Path, model: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    other = small_dataset(tmp_path / "grpo-only", configs=("grpo",))
    done = deepicd("train", "sft", "--dataset", other, "--model", model, "--recipe", "tiny-sft", *FLAGS, "--dry-run")
    assert done.code == 1 and "has no config 'sft'. It has grpo." in done.err
    base = small_model(tmp_path / "base", template="")
    done = deepicd("train", "sft", "--dataset", dataset, "--model", base, "--recipe", "tiny-sft", *FLAGS, "--dry-run")
    assert done.code == 1 and "has no chat template" in done.err


def test_two_processes_train_one_model(dataset: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    record = run.train(str(dataset), chosen(model, devices=2, per_device=2, hardware="any"), out)
    assert record.counts.devices == 2 and record.counts.steps == 4


def test_packed_rows_train_a_model_in_fewer_sequences_and_do_not_see_each_other(
    dataset: Path, model: Path, tmp_path: Path
) -> None:
    recipe = chosen(model, packing=True, max_length=100, effective_batch=4, per_device=2, max_steps=0, epochs=1.0)
    counts = run.train(str(dataset), recipe, tmp_path / "out").counts
    assert (counts.rows["train"], counts.sequences, counts.steps) == (48, 24, 6)  # rows of 43 and 44 tokens
    assert counts.validation_loss.after < counts.validation_loss.before


def test_a_model_that_ignores_where_rows_begin_is_not_packed(
    dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import masking_utils

    monkeypatch.setattr(masking_utils, "find_packed_sequence_indices", lambda position_ids: None)
    recipe = chosen(model, packing=True, max_length=100, effective_batch=4, per_device=2)
    with pytest.raises(DeepicdError, match="Packed rows read each other with attention 'sdpa'"):
        run.train(str(dataset), recipe, tmp_path / "out")


def test_the_sequences_are_those_that_trl_packs() -> None:
    from train.sft.packing import count_sequences

    assert count_sequences([300, 200, 700], 1000) == 2
    assert count_sequences([600, 600, 400, 400, 1000], 1000) == 3


def test_a_stopped_run_goes_on_with_another_number_of_processes(
    dataset: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    out, export = tmp_path / "out", run.base_model.export_model
    monkeypatch.setattr(run.base_model, "export_model", lambda *_: 1 / 0)  # killed after the last step
    with pytest.raises(ZeroDivisionError):
        run.train(str(dataset), chosen(model, save_steps=2), out)
    monkeypatch.setattr(run.base_model, "export_model", export)
    shutil.rmtree(out / ".checkpoints" / "checkpoint-4")
    record = run.train(str(dataset), chosen(model, save_steps=2, devices=2, per_device=2, hardware="any"), out)
    assert (record.counts.devices, record.counts.resumed_at, record.counts.steps) == (2, 2, 4)
    assert "option devices was 1, now 2" in record.notes[0]
    whole = run.train(str(dataset), chosen(model, save_steps=2), tmp_path / "whole").counts
    assert record.counts.validation_loss.after == pytest.approx(whole.validation_loss.after, abs=0.005)
