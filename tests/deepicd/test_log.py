"""Lines in a log: how many, how fast, how long still, and what else is worth saying."""

import re

import pytest

from deepicd import log


def test_a_line_has_count_rate_time_left_and_status(monkeypatch, capsys):
    monkeypatch.setattr(log, "LINE_EVERY", 0.0)
    with log.track_progress("pages", total=1_000) as advance:
        advance(10, "9 described, 1 no text")
        advance(0)
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"pages: 10 of 1,000, [\d,.]+/s, \d+ seconds left; 9 described, 1 no text", first)
    assert second.endswith("; 9 described, 1 no text"), "a status stays until another comes"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 seconds"), (119, "119 seconds"), (121, "2 minutes")])
def test_durations_read_well(seconds, text):
    assert log.format_duration(seconds) == text
