"""Cards of trained models: what of a run's folder goes to the Hub, and all that does not."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import Deepicd
from evaluations import build_metrics
from hub_state import Fault, blob
from small_dataset import small_dataset

from cards.hub import card_trimming
from cards.hub.retract import find_repository, retract
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.http import RetryPolicy
from deepicd.storage import Origin

from .conftest import Loopback, Run, Send, dataset


def trained(folder: Path, source: Path) -> Path:
    """A run's folder as `deepicd train sft` leaves it, of the dataset's origin, with an evaluation."""
    record = records.require(source, "assemble")
    losses = [{"step": step, "loss": 2 / step} for step in range(1, 9)]
    options = {"name": "sft-7b", "model": "Qwen/Qwen2.5-7B-Instruct", "learning_rate": 2e-5}
    plan = records.plan_run("train sft", options=options, inputs={"dataset": source / "sft"})
    with records.open_resumable_folder(folder / "run", plan, record.origin) as run:
        run.counts = records.Counts(rows={"train": 1234}, steps=8, losses=losses)
        for name in ("model/config.json", ".checkpoints/checkpoint-8/optimizer.pt"):
            storage.write_text(run.folder / name, "{}")
        header = b'{"weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}'
        (run.folder / "model" / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(24))
        storage.write_text(run.folder / "train.log", "epoch 1")
    storage.write_text(folder / "run" / "answers.jsonl", '{"note_id": "1"}\n')
    storage.write_json(folder / "run" / "metrics.json", build_metrics(record.origin))
    return folder / "run"


def write_purpose(run: Path, purpose: str) -> None:
    """Put a text into the record, which the card repeats."""
    record = storage.read_json(run / "run.json")
    record["options"]["purpose"] = purpose
    record.pop("checksum", None)  # a record without one is not known to be edited
    storage.write_json(run / "run.json", record)


PASSAGE = "On day 1 she felt pressure behind the breastbone, and it woke her"


def test_the_card_of_a_trained_model_arrives_and_nothing_else(
    loopback: Loopback, run: Run, credentialed: Path, tmp_path: Path
) -> None:
    repo, out = loopback.new(), trained(tmp_path, credentialed)
    outcome = run("publish", out, repo, "--what", "card")
    assert outcome.code == 0, outcome.err
    assert "card of a model (mimic)" in outcome.out
    assert "not sent    .checkpoints, answers.jsonl, metrics.json, model, run.json, train.log" in outcome.out
    assert "2 of 2 files read again" in outcome.out
    assert f"{loopback.url}/{repo} is private" in outcome.out
    there = loopback.hub.repos[f"models/{repo}"]
    assert repo not in loopback.hub.repos
    assert set(there.head.tree) == {".gitattributes", "README.md", "card/losses.png"}
    assert all(state.private for state in loopback.states(f"models/{repo}"))
    card = card_trimming.parse_card(there.head.tree["README.md"].content.decode())
    values, body = card.data.to_dict(), card.text
    assert "**No weights are in this repository**" in body
    assert "can repeat them" in body
    assert "pipeline_tag" not in values
    assert values["model-index"]
    again = run("publish", out, repo)
    assert "nothing to send, the repository holds all of it already" in again.out
    assert len(there.commits) == 2


def test_a_dry_run_asks_and_changes_nothing(loopback: Loopback, send: Send, made_up: Path, tmp_path: Path) -> None:
    repo = loopback.new()
    plan = send(trained(tmp_path, made_up), repo, dry_run=True)
    assert "repository  new, private" in plan
    assert "card/losses.png" in plan
    assert f"models/{repo}" not in loopback.hub.repos


@pytest.mark.parametrize("what", ["rows", "recipe", "resources"])
def test_of_a_trained_model_nothing_but_the_card_is_published(
    what: str, loopback: Loopback, send: Send, made_up: Path, tmp_path: Path
) -> None:
    with pytest.raises(DeepicdError, match="of a trained model only the card is published"):
        send(trained(tmp_path, made_up), loopback.new(), what)


def test_a_card_goes_into_no_repository_with_weights_and_leaves_other_files(
    loopback: Loopback, send: Send, made_up: Path, tmp_path: Path
) -> None:
    repo, out = loopback.new(), trained(tmp_path, made_up)
    there = loopback.hub.create(f"models/{repo}", "sam")
    tree = dict(there.head.tree)
    there.commit("sam", "mine", {**tree, "sft/notes.txt": blob(b""), "run.json": blob(b""), "card/old.png": blob(b"")})
    done = send(out, repo)
    assert done.changes.removed == ["card/old.png"]
    assert {"sft/notes.txt", "run.json"} < set(there.head.tree)
    tree = dict(there.head.tree)
    for name in ("model.safetensors", "Model.SafeTensors", "tf_model.h5"):
        there.commit("sam", "weights", {**tree, name: blob(b"{}")})
        with pytest.raises(DeepicdError, match=rf"holds weights, {name} among them"):
            send(out, repo)


def test_a_passage_of_the_notes_does_not_leave_in_a_models_card(
    loopback: Loopback, send: Send, credentialed: Path, tmp_path: Path
) -> None:
    out = trained(tmp_path, credentialed)
    write_purpose(out, PASSAGE)
    with pytest.raises(DeepicdError, match="8 words in a row"):
        send(out, loopback.new())


def test_the_notes_of_a_credentialed_model_must_be_at_hand(
    loopback: Loopback, run: Run, credentialed: Path, tmp_path: Path
) -> None:
    out, repo = trained(tmp_path, credentialed), loopback.new()
    record = storage.read_json(out / "run.json")
    record["inputs"]["dataset"]["path"] = str(tmp_path / "moved" / "sft")
    del record["checksum"]
    storage.write_json(out / "run.json", record)
    refused = run("publish", out, repo, "--dry-run")
    assert refused.code == 1
    assert "--notes-from DIR" in refused.err
    assert run("publish", out, repo, "--dry-run", "--notes-from", credentialed).code == 0


def evaluated(run: Path, source: Path | None, origin: Origin) -> None:
    """An evaluation in the run's folder, in place of the one without a record."""
    (run / "metrics.json").unlink()
    plan = records.plan_run("evaluate", options={}, inputs={"dataset": source / "sft"} if source else {})
    with records.open_resumable_folder(run / "evaluation", plan, origin) as made:
        storage.write_json(made.folder / "metrics.json", build_metrics(origin))


def test_a_made_up_models_card_is_compared_with_the_credentialed_notes_of_its_evaluation(
    loopback: Loopback, send: Send, credentialed: Path, tmp_path: Path
) -> None:
    other = small_dataset(tmp_path / "other")  # made up, in other words
    out = trained(tmp_path, other)
    evaluated(out, credentialed, "mimic")
    assert "(mimic)" in send(out, loopback.new(), dry_run=True)
    write_purpose(out, PASSAGE)
    with pytest.raises(DeepicdError, match="8 words in a row"):
        send(out, loopback.new())


def test_the_notes_of_an_evaluation_that_was_copied_without_its_record_must_be_named(
    loopback: Loopback, run: Run, credentialed: Path, tmp_path: Path
) -> None:
    out, repo = trained(tmp_path, small_dataset(tmp_path / "other")), loopback.new()
    measured = storage.read_json(out / "metrics.json")
    storage.write_json(out / "metrics.json", measured | {"origin": "mimic"})
    refused = run("publish", out, repo, "--dry-run")
    assert refused.code == 1 and "was evaluated on are not where" in refused.err
    assert run("publish", out, repo, "--dry-run", "--notes-from", credentialed).code == 0


def test_a_card_is_compared_with_the_notes_of_training_and_evaluation_where_both_are_credentialed(
    loopback: Loopback, send: Send, credentialed: Path, tmp_path: Path
) -> None:
    words = "His cough began at night, three weeks ago, and nothing helped against it"
    note = f"## Chief Complaint\nCough\n\n## History of Present Illness\n{words}, neither tea nor honey."
    out = trained(tmp_path, dataset(tmp_path / "other", "mimic", note=note))
    evaluated(out, credentialed, "mimic")
    assert "(mimic)" in send(out, loopback.new(), dry_run=True)
    for passage in (words, PASSAGE):
        write_purpose(out, passage)
        with pytest.raises(DeepicdError, match="8 words in a row"):
            send(out, loopback.new())


@pytest.mark.parametrize("named", ["made up", "none"])
def test_an_evaluation_that_names_no_credentialed_rows_needs_notes_from(
    named: str, loopback: Loopback, send: Send, made_up: Path, tmp_path: Path
) -> None:
    out = trained(tmp_path, made_up)
    evaluated(out, made_up if named == "made up" else None, "mimic")
    with pytest.raises(DeepicdError, match=r"this model was evaluated on.*\n.*--notes-from DIR"):
        send(out, loopback.new(), dry_run=True)


def test_only_the_pictures_that_the_card_shows_are_sent(
    loopback: Loopback, send: Send, made_up: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(made_up, tmp_path / "dataset"))
    for out, shown in ((trained(tmp_path, made_up), "card/losses.png"), (copy, "card/chapters.png")):
        (out / "card").mkdir(exist_ok=True)
        shutil.copy(made_up / "card" / "chapters.png", out / "card" / "f1.png")
        plan = send(out, loopback.new(), dry_run=True)
        assert shown in plan
        assert "card/f1.png" not in plan


def test_check_disclosure_refuses_what_a_credentialed_run_holds_by_name(
    credentialed: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    out = trained(tmp_path, credentialed)
    outcome = deepicd("check-disclosure", out)
    assert outcome.code == 1
    for name, reason in (
        ("model/model.safetensors", "weights, which can repeat their training data"),
        (".checkpoints/checkpoint-8/optimizer.pt", "weights"),
        ("train.log", "a log"),
        ("answers.jsonl", "a ledger"),
        ("run.json", "a run's record"),
    ):
        assert f"{name}: {reason}" in outcome.out


def test_retract_finds_a_model_and_asks_where_a_dataset_has_the_same_name(
    loopback: Loopback, run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repo = loopback.new()
    loopback.hub.create(f"models/{repo}", "sam", private=False)
    outcome = run("retract", repo)
    assert outcome.code == 0, outcome.err
    assert f"{repo} was public and is private." in outcome.out
    assert loopback.hub.repos[f"models/{repo}"].private
    loopback.hub.create(repo, "sam", private=False)
    assert "--kind dataset or model" in run("retract", repo).err
    monkeypatch.setenv("HF_TOKEN", "hf_write")
    quick = RetryPolicy(timeout=20, attempts=2, first_wait=0)
    _, now = retract(find_repository(repo, loopback.url, retry=quick, kind="dataset"), journals=tmp_path)
    assert now.private


def test_the_yaml_of_a_models_card_is_still_yaml(loopback: Loopback, send: Send, made_up: Path, tmp_path: Path) -> None:
    repo = loopback.new()
    send(trained(tmp_path, made_up), repo)
    text = loopback.hub.repos[f"models/{repo}"].head.tree["README.md"].content.decode()
    assert json.dumps(yaml.safe_load(text.split("---\n")[1])["base_model"]) == '"Qwen/Qwen2.5-7B-Instruct"'


def test_a_commit_of_a_model_whose_answer_was_lost_is_recognised(
    loopback: Loopback, send: Send, made_up: Path, tmp_path: Path
) -> None:
    repo = loopback.new()
    for step in ("create", "lfs-put", "commit"):
        loopback.hub.faults.append(Fault(step, "lost", repo=f"models/{repo}", token="" if step == "create" else None))
    done = send(trained(tmp_path, made_up), repo)
    loopback.hub.faults.clear()
    assert len(loopback.hub.repos[f"models/{repo}"].commits) == 2
    assert done.commit == loopback.hub.repos[f"models/{repo}"].head.oid
