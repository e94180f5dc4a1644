"""Messages and progress on stderr and in run.log."""

import logging
import re

import pytest

from deepicd import log


@pytest.fixture(autouse=True)
def default_level():
    log.configure()
    yield
    log.configure()


logger = logging.getLogger("deepicd.a_module")
other_library = logging.getLogger("a_library")


def test_messages_go_to_stderr_alone_and_warnings_say_so(capsys):
    logger.info("Kept %s of %s rows.", 3, 4)
    logger.warning("2 rows have no code.")
    printed = capsys.readouterr()
    assert printed.err == "Kept 3 of 4 rows.\nWarning: 2 rows have no code.\n"
    assert printed.out == ""


def test_other_libraries_are_heard_from_warnings_on(capsys):
    log.configure("DEBUG", ["a_stage"])
    logging.getLogger("a_stage.part").debug("a detail")
    other_library.info("chatter")
    other_library.warning("something is off")
    assert capsys.readouterr().err == "a detail\nWarning: something is off\n"


def test_a_quiet_run_has_warnings_but_no_messages_and_no_progress(monkeypatch, capsys):
    monkeypatch.setattr(log, "LINE_EVERY", 0.0)
    log.configure("WARNING")
    logger.info("Kept 3 of 4 rows.")
    with log.track_progress("pages") as advance:
        advance(10, "9 described")
    logger.warning("2 rows have no code.")
    assert capsys.readouterr().err == "Warning: 2 rows have no code.\n"


def test_configuring_twice_shows_each_message_once(capsys):
    log.configure()
    logger.info("once")
    assert capsys.readouterr().err == "once\n"


def test_on_a_terminal_a_message_keeps_its_brackets_and_its_length_beside_the_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    command = f"$ deepicd build --mimic {'folder/' * 40}copy [A00, B99] :heart:\n"
    with log.track_progress("pages", total=10) as advance:
        logger.info(command.rstrip())
        advance(10)
    assert command in capsys.readouterr().err


def test_run_log_has_time_stamps_and_what_a_quiet_terminal_does_not_show(tmp_path):
    log.configure("ERROR")
    with log.write_run_log(tmp_path):
        logger.info("Kept 3 of 4 rows.")
        logger.debug("a detail")
    logger.info("after the run")
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert re.fullmatch(rf"{stamp} INFO deepicd\.a_module: Kept 3 of 4 rows\.\n", (tmp_path / "run.log").read_text())


def test_run_log_is_appended_to(tmp_path):
    for _ in range(2):
        with log.write_run_log(tmp_path):
            logger.info("a run")
    assert len((tmp_path / "run.log").read_text().splitlines()) == 2


def test_run_log_waits_for_its_folder_and_never_makes_one(tmp_path):
    with log.write_run_log(tmp_path / "out"):
        logger.info("before")
        (tmp_path / "out").mkdir()
        logger.info("after")
    assert [line.split(": ")[1] for line in (tmp_path / "out" / "run.log").read_text().splitlines()] == [
        "before",
        "after",
    ]
    with log.write_run_log(tmp_path / "absent"):
        logger.info("before a failure")
    assert not (tmp_path / "absent").exists()


def test_a_line_has_count_rate_time_left_and_status(monkeypatch, capsys):
    monkeypatch.setattr(log, "LINE_EVERY", 0.0)
    with log.track_progress("pages", total=1_000) as advance:
        advance(10, "9 described, 1 no text")
        advance(0)
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"pages: 10 of 1,000, [\d,.]+/s, \d+ seconds left; 9 described, 1 no text", first)
    assert second.endswith("; 9 described, 1 no text"), "a status stays until another comes"


def test_a_line_never_says_that_nothing_is_done_per_second(monkeypatch, capsys):
    monkeypatch.setattr(log, "LINE_EVERY", 0.0)
    with log.track_progress("pages", total=1_000) as advance:
        advance(0, "waiting for the server")
    assert capsys.readouterr().err == "pages: 0 of 1,000; waiting for the server\n"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 seconds"), (119, "119 seconds"), (121, "2 minutes")])
def test_durations_read_well(seconds, text):
    assert log.format_duration(seconds) == text
