"""Two cards of nearly the same data: what their difference tells is named, and not made public."""

from pathlib import Path

import pytest

from cards.hub.differences import find_small_differences
from deepicd.errors import DeepicdError
from deepicd.stage_records import REHEARSED

from .conftest import Loopback, Send, dataset


@pytest.fixture(scope="module")
def one_more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `credentialed`, with one stay more."""
    return dataset(tmp_path_factory.mktemp("one-more"), "mimic", 61)


def test_a_card_with_one_stay_more_is_named_and_not_made_public(
    loopback: Loopback, send: Send, credentialed: Path, one_more: Path
) -> None:
    first, second = loopback.new(), loopback.new()
    send(credentialed, first)
    plan = send(one_more, second, dry_run=True)
    assert plan.splitlines()[0] == REHEARSED
    assert "beware" in plan
    assert first in plan
    assert "differ from this one's by one to nine" in plan
    with pytest.raises(DeepicdError, match="Together with an earlier card"):
        send(one_more, second, public=True)
    assert second not in loopback.hub.repos
    assert not send(one_more, second, public=True, despite_differences=True).state.private


def test_a_gate_does_not_hide_a_card_with_one_stay_more(
    loopback: Loopback, send: Send, credentialed: Path, one_more: Path
) -> None:
    send(credentialed, loopback.new())
    repo = loopback.new()
    there = loopback.hub.create(repo, "sam", private=False)
    there.gated = "manual"
    with pytest.raises(DeepicdError, match="Together with an earlier card"):
        send(one_more, repo)
    assert len(there.commits) == 1
    send(one_more, repo, despite_differences=True)
    assert len(there.commits) == 2


def test_the_same_card_again_and_made_up_cards_raise_no_warning(
    loopback: Loopback, send: Send, credentialed: Path, made_up: Path, tmp_path: Path
) -> None:
    send(credentialed, loopback.new())
    assert "beware" not in send(credentialed, loopback.new(), "recipe", dry_run=True)
    send(made_up, loopback.new())
    assert "beware" not in send(dataset(tmp_path, "synthetic", 61), loopback.new(), dry_run=True)


def test_a_journal_line_that_cannot_be_read_is_no_card_without_counts(
    loopback: Loopback, send: Send, credentialed: Path, tmp_path: Path
) -> None:
    first, second = loopback.new(), loopback.new()
    send(credentialed, first)
    journal = tmp_path / "records" / first.replace("/", "--") / "journal.jsonl"
    for damaged in (b'{"event": "committed", "endpoint": "x", "shown": {}}\n', b'{"at": "2025-01-01", "ev'):
        journal.write_bytes(damaged)
        with pytest.raises(DeepicdError, match=f"line 1 of the journal of {first} cannot be read"):
            send(credentialed, second, public=True)
    send(credentialed, first, overwrite=True)  # appends to the line that was cut short
    assert [len(line.split(b'"event"')) for line in journal.read_bytes().splitlines()] == [1, 2, 2]


def test_two_cards_that_show_different_counts_are_solved_together() -> None:
    """One shows the splits, the other the total: no count is in both."""
    splits = {"rows/grpo/train": 140, "rows/grpo/validation": 20, "rows/grpo/test": 40, "rows/grpo/all": None}
    assert find_small_differences(splits, {"rows/grpo/all": 203}) == ["all rows"]
    assert find_small_differences(splits, {"rows/grpo/all": 230}) == []
    assert find_small_differences(splits, {"rows/grpo/all": 200}) == []


def test_chapters_that_lost_rows_to_each_other_are_found_over_merged_rows() -> None:
    """Chapter X came out of the other chapters, which are 4 fewer than it says."""
    before = {"rows/grpo/all": 300, "chapter/9/all": 200, "chapter/other/all": 100}
    now = {"rows/grpo/all": 304, "chapter/9/all": 220, "chapter/10/all": 50, "chapter/other/all": 34}
    found = find_small_differences(before, now)
    assert "rows/grpo/all" in found and "all rows" in found and "chapter IX" not in found
    assert find_small_differences(before, before) == []


def test_cards_that_contradict_themselves_are_not_compared_in_silence() -> None:
    broken = {"rows/grpo/all": 10, "chapter/9/all": 200}
    assert find_small_differences(broken, {"rows/grpo/all": 500}) == ["everything, since the comparison failed"]
