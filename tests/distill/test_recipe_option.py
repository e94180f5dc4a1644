"""Which recipe a command runs: it has to be named, and a rehearsal never passes for a model's work."""

from pathlib import Path

import pytest
from cohorts import write_cohort, write_dataset
from conftest import Deepicd
from openai_server import MODEL, openai_server

from deepicd.engines.registry import choose_engine
from deepicd.errors import DeepicdError
from deepicd.stage_records import REHEARSED


@pytest.mark.parametrize(
    ("command", "example"),
    [
        ("distill", "deepicd distill out/cohort out/traces --recipe qwen2.5-32b"),
        ("judge", "deepicd judge out/traces out/scores --recipe judge"),
    ],
)
def test_a_missing_recipe_is_an_error_that_lists_ours_and_shows_a_command(
    command: str, example: str, tmp_path: Path, deepicd: Deepicd
) -> None:
    outcome = deepicd(command, tmp_path / "in", tmp_path / "out")
    assert outcome.code == 2
    assert "qwen2.5-32b (vllm), qwen2.5-72b (vllm), rehearsal (rehearsal)" in outcome.err
    assert example in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_rehearsal_of_credentialed_rows_has_to_be_asked_for(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 20, "mimic"), tmp_path / "out"
    for more in ((), ("--pilot", "5")):
        refused = deepicd("distill", cohort, out, "--recipe", "rehearsal", *more)
        assert refused.code == 1
        assert "is not a language model, and these rows are credentialed: nothing was written" in refused.err
        assert not out.exists()
    assert deepicd("distill", cohort, out, "--recipe", "rehearsal", "--rehearse").code == 0
    refused = deepicd("judge", out, tmp_path / "scores", "--recipe", "judge-rehearsal")
    assert refused.code == 1
    assert not (tmp_path / "scores").exists()
    assert deepicd("judge", out, tmp_path / "scores", "--recipe", "judge-rehearsal", "--rehearse").code == 0


def test_every_command_says_first_that_no_model_wrote_the_traces(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort, traces, dataset = write_cohort(tmp_path / "cohort", 40), tmp_path / "traces", tmp_path / "dataset"
    for arguments in (
        ("distill", cohort, traces, "--recipe", "rehearsal"),
        ("assemble", "--cohort", cohort, "--traces", traces, dataset),
        ("card", dataset),
        ("bundle", dataset, tmp_path / "bundle"),
    ):
        outcome = deepicd(*arguments)
        assert outcome.code == 0, outcome.err
        assert outcome.out.splitlines()[0] == REHEARSED


def test_traces_of_a_model_come_without_that_line(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort, traces = write_cohort(tmp_path / "cohort", 20), tmp_path / "traces"
    with openai_server() as server:
        options = ("--model", MODEL, "--base-url", server.url)
        assert REHEARSED not in deepicd("distill", cohort, traces, *options).out
        assert len(server.asked) == 20
    outcome = deepicd("assemble", "--cohort", cohort, "--traces", traces, tmp_path / "dataset")
    assert outcome.code == 0
    assert REHEARSED not in outcome.out


def test_a_server_alone_chooses_the_engine_that_asks_it() -> None:
    url = "http://127.0.0.1:8000/v1"
    assert choose_engine("vllm", None, url) == choose_engine("rehearsal", None, url) == "openai_server"
    assert choose_engine("vllm", None, None) == "vllm"
    assert choose_engine("vllm", "transformers", None) == "transformers"
    assert choose_engine("vllm", "endpoint", url) == "openai_server"
    with pytest.raises(DeepicdError, match="asks no server"):
        choose_engine("openai_server", "vllm", url)


def test_the_record_of_a_dataset_tells_who_wrote_it_after_a_judge_of_a_model(tmp_path: Path, deepicd: Deepicd) -> None:
    dataset = write_dataset(tmp_path, 40)
    assert deepicd("card", dataset).out.startswith(REHEARSED)
