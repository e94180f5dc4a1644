"""`deepicd evaluate --model`: a model is asked once, and what it answered is kept."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cohorts import rows_in
from conftest import Deepicd
from evaluations import dataset, metrics
from openai_server import MODEL, answer, openai_server, status

from deepicd.engines import ledger
from deepicd.icd10cm import Code
from deepicd.text_store import open_text_store
from distill import tiny_teacher
from train.data import Question
from train.evaluation.answers import CHECKED_IN, AnswerRecipe, EvaluatedModel, parse_answer_recipe, read_answer_recipe


@pytest.fixture(scope="module")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder with 20 notes in its test split."""
    return dataset(tmp_path_factory.mktemp("dataset_folder"))


def command(dataset_folder: Path, out: Path, url: str, *options: object) -> list[Any]:
    return [*command_without_model(dataset_folder, out, url), "--model", MODEL, *options]


def command_without_model(dataset_folder: Path, out: Path, url: str, *options: object) -> list[Any]:
    where = ["--dataset", dataset_folder, "--out", out]
    return ["evaluate", "--engine", "openai_server", "--base-url", url, *where, *options]


def test_a_model_answers_the_notes_with_the_decoding_of_training(
    tmp_path: Path, deepicd: Deepicd, dataset_folder: Path
) -> None:
    with openai_server() as server:
        outcome = deepicd(*command(dataset_folder, tmp_path / "out", server.url))
        assert outcome.code == 0, outcome.err
    assert len(server.asked) == 20
    sent = server.asked[0]
    assert (sent["temperature"], sent["max_tokens"], sent["seed"]) == (0.9, 1024, 42)
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    results = metrics(tmp_path / "out")
    assert results["answers"]["predict_a_code"] == 20  # R69, all of them
    assert results["full"]["accuracy"] == 0.0
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["counts"]["generation"]["finish_reasons"] == {"stop": 20}
    assert record["options"]["model"] == MODEL


def test_a_run_that_broke_off_asks_only_for_what_is_missing(
    tmp_path: Path, deepicd: Deepicd, dataset_folder: Path
) -> None:
    with openai_server() as server:
        one_by_one = command(dataset_folder, tmp_path / "out", server.url, "--set", "in_flight=1")
        server.faults = [lambda handler: answer(server, handler)] * 7 + [status(401)]
        outcome = deepicd(*one_by_one)
        assert outcome.code == 1
        assert "needs an API key" in outcome.err
        (tmp_path / "out" / "metrics.json").write_text("{")  # as if it had been killed while it wrote
        server.asked.clear()
        assert deepicd(*one_by_one).code == 0
        assert len(server.asked) == 13
        assert deepicd(*one_by_one).code == 0
        assert len(server.asked) == 13
        assert deepicd(*one_by_one, "--averaging", "union", "--overwrite").code == 0
        assert len(server.asked) == 13
        assert deepicd(*one_by_one, "--set", "temperature=0", "--overwrite").code == 0
        assert len(server.asked) == 33
        (tmp_path / "out" / "run.json").unlink()
        (tmp_path / "out" / "mine.txt").touch()
        assert "holds files that no run.json accounts for" in deepicd(*one_by_one).err


def test_what_the_turn_is_opened_with_is_not_put_there_twice(
    tmp_path: Path, deepicd: Deepicd, dataset_folder: Path
) -> None:
    with openai_server() as server:
        outcome = deepicd(
            *command(dataset_folder, tmp_path / "out", server.url, "--opening", "<think>\n", "--limit", 5)
        )
        assert outcome.code == 0, outcome.err
    assert server.asked[0]["messages"][-1] == {"role": "assistant", "content": "<think>\n"}
    assert metrics(tmp_path / "out")["answers"]["predict_a_code"] == 5


def test_what_cannot_be_asked_is_said_before_anything_is_written(
    tmp_path: Path, deepicd: Deepicd, dataset_folder: Path
) -> None:
    out = tmp_path / "out"
    said = {
        ("--model", "m", "--engine", "rehearsal", "--dataset", dataset_folder): "is not a model",
        ("--model", "m", "--engine", "openai_server", "--dataset", dataset_folder): "needs the address of a server",
        ("--model", "m", "--engine", "openai_server", "--base-url", "http://127.0.0.1:9/v1"): "Name the dataset",
        ("--model", "m", "--engine", "openai_server", "--base-url", "http://127.0.0.1:9/v1", "--dataset",
         dataset_folder,
         "--set", "temprature=1"): "Did you mean temperature?",
        ("--dataset", dataset_folder): "Give --predictions FILE or --model NAME.",
        ("--predictions", dataset_folder / "run.json", "--averaging", "vocabulary"): "Name it: --dataset",
        ("--predictions", dataset_folder / "run.json", "--limit", 3): "Leave --limit out",
    }  # fmt: skip
    for options, message in said.items():
        outcome = deepicd("evaluate", "--out", out, *options)
        assert outcome.code == 1
        assert message in outcome.err
    assert not out.exists()


def test_credentialed_notes_go_to_no_server_elsewhere(tmp_path: Path, deepicd: Deepicd) -> None:
    outcome = deepicd(*command(dataset(tmp_path, "mimic"), tmp_path / "out", "http://8.8.8.8/v1"))
    assert outcome.code == 1
    assert "nothing was sent" in outcome.err
    assert not (tmp_path / "out").exists()


@pytest.mark.engines
@pytest.mark.parametrize("engine", ["transformers", "vllm"])
def test_a_real_model_answers_and_is_asked_once(
    tmp_path: Path, deepicd: Deepicd, dataset_folder: Path, engine: str
) -> None:
    pytest.importorskip("vllm", reason="needs vLLM and transformers: make test-full")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    options = ["--engine", engine, "--set", "context=2048", "--set", "max_tokens=128", "--opening", "<think>\n"]
    where = ["--dataset", dataset_folder, "--out", tmp_path / "out"]
    outcome = deepicd("evaluate", "--model", tiny_teacher.NAME, *where, *options)
    assert outcome.code == 0, outcome.err
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    generation = record["counts"]["generation"]
    assert sum(generation["finish_reasons"].values()) == 20
    assert generation["completion_tokens"] > 200
    assert next(iter(generation["engines"])).startswith(engine)
    (tmp_path / "out" / "run.json").unlink()  # as if it had been killed before its end
    elsewhere = ("--engine", "openai_server", "--base-url", "http://127.0.0.1:9/v1")
    again = deepicd("evaluate", "--model", tiny_teacher.NAME, *where, *options, *elsewhere)
    assert again.code == 0, again.err  # another engine, nobody there: everything is in the ledger


@pytest.mark.parametrize("path", sorted(CHECKED_IN.glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_of_published_baselines_decode_as_the_paper(path: Path) -> None:
    recipe = AnswerRecipe.parse(read_answer_recipe(Path(path.stem)), path.stem)
    assert recipe.model in ("FreedomIntelligence/HuatuoGPT-o1-7B", "UCSC-VLAA/MedReason-8B")
    assert (recipe.temperature, recipe.max_tokens, recipe.context, recipe.engine) == (0.9, 1024, 3072, "vllm")


def test_a_recipe_names_the_model_and_options_change_it(tmp_path: Path, deepicd: Deepicd, dataset_folder: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"model: {MODEL}\ntemperature: 0.2\nmax_tokens: 64\n")
    with openai_server() as server:
        command = command_without_model(dataset_folder, tmp_path / "out", server.url, "--set", "max_tokens=32")
        assert deepicd(*command, "--recipe", tmp_path / "mine.yaml", "--limit", 2).code == 0
    assert (server.asked[0]["model"], server.asked[0]["temperature"], server.asked[0]["max_tokens"]) == (MODEL, 0.2, 32)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["options"]["name"] == "mine"
    assert "There is no recipe other" in deepicd(*command, "--recipe", "other").err


def test_an_answer_of_an_earlier_version_is_found_again(tmp_path: Path) -> None:
    fields = {"model": "m", "engine": "openai_server", "base_url": "http://127.0.0.1:9/v1"}
    model = EvaluatedModel(parse_answer_recipe(fields), "<think>\n")
    former_key = "8707053fab30e16221908f29ea453171"
    with ledger.open_ledger(tmp_path, "synthetic") as book, open_text_store(tmp_path) as chats:
        question = Question("n-1", Code("I214"), chats.add('[{"role": "user", "content": "Cough."}]'))
        assert model.find_key(book, question) == model.build_request(question).key != former_key
        book.add_completion(former_key, {"text": "<think>"})
        assert model.find_key(book, question) == former_key


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"error": {"param": "max_tokens", "code": "unsupported_parameter"}}', "does not accept 'max_tokens' (1024)"),
        ('{"error": {"code": "content_filter"}}', "No row was answered: "),
    ],
)
def test_an_evaluation_in_which_no_note_was_answered_is_an_error_and_no_score(
    body: str, message: str, tmp_path: Path, deepicd: Deepicd, dataset_folder: Path
) -> None:
    with openai_server(always_chat=status(400, body)) as server:
        outcome = deepicd(*command(dataset_folder, tmp_path / "out", server.url, "--limit", 10))
    assert outcome.code == 1
    assert message in outcome.err
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_an_answer_whose_block_the_template_opened_is_read(
    tmp_path: Path, deepicd: Deepicd, dataset_folder: Path
) -> None:
    text = "Crackles at both bases.\n</think>\n<diagnosis>I214</diagnosis>"
    message = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    for number, opening in enumerate(([], ["--opening", "<think>"])):
        with openai_server(owned_by="somebody", always_chat=status(200, json.dumps(message))) as server:
            outcome = deepicd(*command(dataset_folder, tmp_path / str(number), server.url), *opening)
        assert outcome.code == 0
        assert "--opening" not in outcome.err
        assert {row["problem"] for row in rows_in(tmp_path / str(number))} == {None}
