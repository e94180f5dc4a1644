"""Credentialed notes go to no server elsewhere, and to no file that somebody did not ask for."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from cohorts import NOTE, write_cohort
from conftest import Deepicd

from deepicd import disclosure
from deepicd.errors import DeepicdError
from distill.recipe import Recipe

SENTENCE = (
    "I take responsibility for sending credentialed MIMIC records to api.example.org, which their data use agreement"
    " allows me."
)


def recipe(host: str) -> Recipe:
    return Recipe(name="test", engine="openai_server", model="m", base_url=f"https://{host}/v1")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.7", "192.168.1.9", "172.16.3.4"])
def test_this_machine_and_private_networks_may_have_credentialed_notes(host: str) -> None:
    assert disclosure.check_server(recipe(host), origin="mimic", sentence=None) is None


@pytest.mark.parametrize("host", ["8.8.8.8", "[2001:4860:4860::8888]", "no-such-host.invalid", "127.0.0.1.invalid"])
def test_any_other_place_is_refused_with_the_sentence_that_would_allow_it(host: str) -> None:
    with pytest.raises(DeepicdError, match="nothing was sent") as error:
        disclosure.check_server(recipe(host), origin="mimic", sentence=None)
    assert f"I take responsibility for sending credentialed MIMIC records to {host.strip('[]')}" in error.value.advice


def test_only_the_exact_sentence_for_this_very_host_counts() -> None:
    with pytest.raises(DeepicdError):
        disclosure.check_server(recipe("api.example.org"), origin="mimic", sentence="yes")
    with pytest.raises(DeepicdError):
        disclosure.check_server(recipe("other.example.org"), origin="mimic", sentence=SENTENCE)
    assert disclosure.check_server(recipe("api.example.org"), origin="mimic", sentence=SENTENCE) == SENTENCE


def test_an_engine_that_does_not_say_where_prompts_go_is_refused_credentialed_notes() -> None:
    with pytest.raises(DeepicdError, match="nothing was sent"):
        disclosure.check_server(Recipe(name="a", engine="elsewhere", model="m"), origin="mimic", sentence=None)
    local = Recipe(name="a", engine="rehearsal", model="m")
    assert disclosure.check_server(local, origin="mimic", sentence=None) is None


def test_the_former_name_of_an_engine_is_no_way_around_the_check() -> None:
    former = Recipe(name="a", engine="endpoint", model="m", base_url="https://api.example.org/v1")
    with pytest.raises(DeepicdError, match="nothing was sent"):
        disclosure.check_server(former, origin="mimic", sentence=None)


def test_made_up_notes_may_go_anywhere() -> None:
    assert disclosure.check_server(recipe("8.8.8.8"), origin="synthetic", sentence=None) is None


def test_a_refused_run_writes_and_sends_nothing(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort = write_cohort(tmp_path / "cohort", 20, "mimic")
    options = ["--engine", "openai_server", "--model", "m", "--base-url", "http://8.8.8.8/v1"]
    outcome = deepicd("distill", cohort, tmp_path / "out", *options)
    assert outcome.code == 1
    assert "nothing was sent" in outcome.err
    assert not (tmp_path / "out").exists()


def test_a_preview_of_credentialed_notes_goes_to_a_terminal_only(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort = write_cohort(tmp_path / "cohort", 20, "mimic")
    refused = deepicd("distill", cohort, tmp_path / "out", "--recipe", "rehearsal", "--preview", 1)
    assert refused.code == 1
    assert "to a terminal only" in refused.err
    assert NOTE[:40] not in refused.out + refused.err
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "deepicd",
        "distill",
        cohort,
        tmp_path / "out",
        "--recipe",
        "rehearsal",
        "--preview",
        "1",
    ]
    subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, check=True)
    assert "Prompt 1: " in os.read(ours, 4096).decode()


def test_a_preview_of_made_up_notes_shows_prompt_opening_and_tokens(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort = write_cohort(tmp_path / "cohort", 20)
    outcome = deepicd("distill", cohort, tmp_path / "out", "--recipe", "rehearsal", "--preview", 2)
    assert outcome.code == 0
    assert outcome.out.count("Prompt ") == 2
    assert "tokens by an estimate" in outcome.out
    assert "It woke her. She was pale and sweating." in outcome.out
    assert outcome.out.rstrip().endswith("<think>")
    assert not (tmp_path / "out").exists()


def test_a_preview_needs_no_engine(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort = write_cohort(tmp_path / "cohort", 20)
    outcome = deepicd("distill", cohort, tmp_path / "out", "--engine", "openai_server", "--model", "m", "--preview", 1)
    assert outcome.code == 0, outcome.err


def test_usage_reporting_is_off_before_an_engine_is_imported() -> None:
    script = (
        "import os; from deepicd.engines.registry import open_engine; from distill.recipe import Recipe;"
        "open_engine(Recipe(name='a', engine='rehearsal', model='b'));"
        "print(os.environ['VLLM_NO_USAGE_STATS'], os.environ['DO_NOT_TRACK'], os.environ['HF_HUB_DISABLE_TELEMETRY'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1", "1"]
