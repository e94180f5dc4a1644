"""The command line: exit codes, and messages instead of tracebacks."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from cohorts import write_cohort
from conftest import Deepicd
from copies import discharge, stay, write_copy

from deepicd import json_output, log
from deepicd.cli import PACKAGES, cli, explain_missing_library, make_log_options
from deepicd.errors import DeepicdError, advise_install


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-stage"],
        ["build"],  # options missing
        ["distill"],  # arguments missing
        ["distill", "cohort", "out"],  # no recipe
        ["judge", "traces", "out"],
        ["synthesize", "out", "--admissions", "none"],
        ["--no-such-option"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], deepicd: Deepicd) -> None:
    outcome = deepicd(*arguments)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["build", "--mimic", "absent", "--notes", "absent", "out"],
        ["distill", "absent", "out", "--recipe", "rehearsal"],
        ["distill", "absent", "out", "--recipe", "absent.yaml"],
        ["assemble", "--cohort", "absent", "--traces", "absent", "out"],
        ["card", "absent"],
        ["guidelines", "absent.pdf", "out"],
        ["scrape", "out", "--codes", "absent.txt", "--base-url", "http://127.0.0.1:9"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_mistake_exits_with_1_a_message_and_no_trace_of_output(
    arguments: list[str], deepicd: Deepicd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = deepicd(*arguments)
    assert outcome.code == 1
    assert outcome.err.startswith("Error: ")
    assert len(outcome.err.splitlines()) >= 2  # what happened, then what to do
    assert "Traceback" not in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("direct_url", "command"),
    [
        (
            '{"url": "file:///home/me/a%20clone", "dir_info": {"editable": true}}',
            "pip install -e '/home/me/a clone[pdf]'",
        ),
        ('{"url": "file:///home/me/clone", "dir_info": {}}', "pip install '/home/me/clone[pdf]'"),
        (
            '{"url": "file:///tmp/deepicd-1.whl", "archive_info": {}}',
            "pip install 'deepicd[pdf] @ file:///tmp/deepicd-1.whl'",
        ),
        (
            '{"url": "https://x.org/deepicd", "vcs_info": {"vcs": "git", "commit_id": "1f0c"}}',
            "pip install 'deepicd[pdf] @ git+https://x.org/deepicd@1f0c'",
        ),
        ("", "pip install 'deepicd[pdf]'"),
    ],
    ids=["clone", "folder", "wheel", "git", "index"],
)
def test_the_advice_to_install_an_extra_fits_how_deepicd_was_installed(
    direct_url: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    information = tmp_path / "deepicd-9.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: deepicd\nVersion: 9\n")
    (information / "direct_url.json").write_text(direct_url)
    monkeypatch.syspath_prepend(tmp_path)
    assert advise_install("pdf") == command


def test_a_package_of_an_engine_has_its_own_advice_since_no_extra_has_it() -> None:
    explained = {
        name: str(explain_missing_library(ModuleNotFoundError(name=name))) for name in ("ray", "ray.util", "duckdb")
    }
    assert all("Install it beside vLLM: pip install ray" in explained[name] for name in ("ray", "ray.util"))
    assert "Install the packages of all stages: " in explained["duckdb"]


def test_a_folder_that_cannot_be_written_is_a_message(deepicd: Deepicd, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    outcome = deepicd("synthesize", tmp_path / "file" / "out", "--admissions", "1")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("place", ["loop", "out \udcff"])
def test_a_link_to_itself_and_a_name_that_is_not_utf8_are_refused_in_words(
    place: str, deepicd: Deepicd, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    outcome = deepicd("synthesize", tmp_path / place, "--admissions", "50")
    assert outcome.code == 1
    assert ("Too many levels of symbolic links" if place == "loop" else "is not UTF-8") in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_synthesize_prints_what_it_made_up(deepicd: Deepicd, tmp_path: Path) -> None:
    outcome = deepicd("synthesize", tmp_path / "copy", "--admissions", "20")
    assert outcome.code == 0
    assert "20 admissions" in outcome.out
    assert "Note: " in outcome.err
    notes = deepicd("synthesize", tmp_path / "notes", "--hosp", tmp_path / "copy", "--quiet")
    assert notes.code == 0
    assert "notes → " in notes.out
    assert notes.err == ""


def test_build_prints_the_funnel(deepicd: Deepicd, tmp_path: Path) -> None:
    copy = write_copy(
        tmp_path / "copy",
        [*stay(20000001, [(1, "I214")]), *stay(20000002, [(1, "4019")], version=9)],
        [discharge(20000001), discharge(20000002)],
    )
    outcome = deepicd("build", "--mimic", copy, "--notes", copy, tmp_path / "out")
    assert outcome.code == 0
    assert "of an ICD-10 stay  −1 not ICD-10" in outcome.out
    assert "93,142  cohort (the paper's)" in outcome.out


def test_the_stages_after_the_cohort_run_from_the_command_line(deepicd: Deepicd, tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 100)
    assert deepicd("distill", cohort, tmp_path / "traces", "--recipe", "rehearsal", "--seed", 1).code == 0
    dataset = tmp_path / "dataset"
    assert deepicd("assemble", "--cohort", cohort, "--traces", tmp_path / "traces", dataset).code == 0
    outcome = deepicd("card", dataset)
    assert outcome.code == 0
    assert "Card of" in outcome.out
    assert (dataset / "README.md").is_file()


def leaf_commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaf_commands(command, (*path, name))
        elif not command.hidden:
            yield (*path, name), command


def test_every_command_takes_the_log_options_once() -> None:
    commands = dict(leaf_commands(cli))
    assert ("train", "sft") in commands and ("physionet", "fetch") in commands
    for path, command in commands.items():
        names = [name for param in command.params for name in param.opts]
        assert [names.count(option) for option in ("-v", "--quiet", "--log-level")] == [1, 1, 1], path


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ([], ["message", "Warning: warning"]),
        (["-v"], ["detail", "message", "Warning: warning"]),
        (["-q"], ["Warning: warning"]),
        (["--log-level", "error"], []),
        (["-q", "--log-level", "debug"], ["detail", "message", "Warning: warning"]),
    ],
    ids=" ".join,
)
def test_log_options_say_what_stands_beside_the_result(
    options: list[str], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def count() -> None:
        logger = logging.getLogger("builders.count")
        logger.debug("detail")
        logger.info("message")
        logger.warning("warning")
        click.echo("42")

    count.params += make_log_options()
    log.configure("INFO", PACKAGES)
    count.main(options, standalone_mode=False)
    log.configure("INFO", PACKAGES)
    printed = capsys.readouterr()
    assert printed.out == "42\n"
    assert printed.err.splitlines() == lines


def test_every_command_shows_an_example_to_paste() -> None:
    for path, command in leaf_commands(cli):
        assert f"deepicd {path[0]}" in (command.help or ""), path


def test_every_command_but_servers_prints_its_result_as_json() -> None:
    without = [
        " ".join(path)
        for path, command in leaf_commands(cli)
        if not any("--json" in param.opts for param in command.params)
    ]
    assert without == ["view", "review rate"]


def test_json_is_the_runs_record_on_stdout_and_the_table_on_stderr(deepicd: Deepicd, tmp_path: Path) -> None:
    copy = write_copy(tmp_path / "copy", stay(20000001, [(1, "I214")]), [discharge(20000001)])
    first = deepicd("build", "--mimic", copy, "--notes", copy, tmp_path / "out", "--json")
    assert first.code == 0, first.err
    record = json.loads(first.out)
    assert (record["command"], record["counts"]["funnel"]["rows"]) == ("build", 1)
    assert "lineage" not in record and "of an ICD-10 stay" in first.err
    again = deepicd("build", "--mimic", copy, "--notes", copy, tmp_path / "out", "--json")
    assert json.loads(again.out)["counts"] == record["counts"]


def test_json_of_a_run_that_fails_is_its_record_and_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def stop() -> None:
        json_output.offer({"counts": 3})
        raise DeepicdError("The disk is full.", "Empty it.")

    json_output.add_json_option("stop", stop)
    with pytest.raises(DeepicdError):
        stop.main(["--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out) == {"counts": 3, "error": "The disk is full.\nEmpty it."}


def test_json_says_what_was_found_and_the_message_of_an_error(deepicd: Deepicd, tmp_path: Path) -> None:
    (tmp_path / "text.md").write_text("Seen by Dr. ___ on ___.")
    refused = deepicd("check-disclosure", tmp_path / "text.md", "--json")
    assert (refused.code, json.loads(refused.out)["may_leave"]) == (1, False)
    wrong = deepicd("card", tmp_path / "absent", "--json")
    assert wrong.code == 1 and "Traceback" not in wrong.err
    message = json.loads(wrong.out)["error"]
    assert str(tmp_path / "absent") in message and message in wrong.err
    shown = deepicd("prompt", "show", "judge", "--json")  # has no record: the lines that it prints
    assert any("messages" in line for line in json.loads(shown.out)["printed"])


def test_out_may_be_an_option_and_is_noted_but_not_twice(deepicd: Deepicd, tmp_path: Path) -> None:
    outcome = deepicd("synthesize", "--admissions", 5, "--out", tmp_path / "copy")
    assert outcome.code == 0, outcome.err
    assert "is taken for the argument OUT, which comes last" in outcome.err
    assert (tmp_path / "copy" / "run.json").is_file()
    assert deepicd("synthesize", tmp_path / "a", "--out", tmp_path / "b").code == 2
    assert deepicd("evaluate", "--predictions", "example", "--out", tmp_path / "scores").code == 0
    bundle = deepicd("bundle", tmp_path / "absent", "--out", tmp_path / "submission")
    assert bundle.code == 1 and str(tmp_path / "absent") in bundle.err
    card = deepicd("card", "--out", tmp_path / "absent")
    assert card.code == 2 and "No such option" in card.err


def test_a_table_is_beside_evaluate_and_answers_to_its_former_name(deepicd: Deepicd, tmp_path: Path) -> None:
    assert deepicd("evaluate", "--predictions", "example", tmp_path / "run").code == 0
    rows = json.loads(deepicd("table", f"ours={tmp_path / 'run'}", "--json").out)
    assert rows[-1]["model"] == "ours"
    former = deepicd("train", "table", tmp_path / "run")
    assert former.code == 0 and "is now: deepicd table" in former.err
