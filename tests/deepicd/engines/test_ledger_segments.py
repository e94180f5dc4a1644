"""Segments of a ledger: small, opened without their texts, and never a reason to lose or to repeat a completion."""

import hashlib
import shutil
from pathlib import Path

import pytest

from deepicd import storage
from deepicd.engines import ledger
from deepicd.engines.shard import Shard
from deepicd.errors import DeepicdError

KEYS = [hashlib.sha256(str(number).encode()).hexdigest()[:32] for number in range(300)]
KEY, OTHER = KEYS[0], KEYS[1]
WORDS = "The crackles at both bases point to fluid. " * 3


def write(out: Path, *keys: str, text: str = "of", checks: str = "checks-1") -> None:
    with ledger.open_ledger(out, "synthetic") as book:
        for key in keys:
            book.add_completion(key, {"text": f"{text} {key} “ä”\u2028\n" + WORDS, "finish_reason": "stop"})
            book.add_findings(key, {"checks": checks})


def read(out: Path, *keys: str) -> list[tuple[str, str] | None]:
    """Return text and version of the checks for each key, and see that nothing but them has changed."""
    with ledger.open_ledger(out, "synthetic") as book:
        entries = [(book.read_completion(key), book.read_findings(key)) for key in keys]
    return [(entry["text"].split()[0], found["checks"]) if entry and found else None for entry, found in entries]


def names(out: Path, ending: str) -> list[str]:
    return sorted(path.name for path in (out / "ledger").glob(f"*{ending}"))


@pytest.fixture
def small_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "SESSION_BYTES", 6000)


def compact(out: Path) -> Path:
    """Turn all sessions into a segment, as an opening does once they are large; return its path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "SESSION_BYTES", 0)
        read(out)
    [segment] = (out / "ledger").glob("*.arrow")
    return segment


def test_sessions_become_a_segment_that_holds_everything(tmp_path: Path) -> None:
    write(tmp_path, *KEYS[:150])
    write(tmp_path, *KEYS[150:])
    before = sum(path.stat().st_size for path in (tmp_path / "ledger").iterdir())
    segment = compact(tmp_path)
    assert list((tmp_path / "ledger").iterdir()) == [segment]
    assert read(tmp_path, *KEYS, "00" * 16) == [("of", "checks-1")] * 300 + [None]
    assert segment.name.startswith("00000-")
    assert segment.stat().st_size < before
    assert storage.read_origin(segment) == "synthetic"
    with ledger.open_ledger(tmp_path, "synthetic") as book:
        assert (len(book), KEY in book, "ff" * 16 in book) == (300, True, False)
        assert (book.read_completion(OTHER) or {})["text"] == f"of {OTHER} “ä”\u2028\n{WORDS}"


@pytest.mark.usefixtures("small_sessions")
def test_a_long_session_is_divided_and_its_parts_are_merged(tmp_path: Path) -> None:
    write(tmp_path, *KEYS)
    assert len(names(tmp_path, ".arrow")) < 5
    assert len(names(tmp_path, ".jsonl")) == 1
    assert read(tmp_path, *KEYS) == [("of", "checks-1")] * 300


@pytest.mark.usefixtures("small_sessions")
def test_the_first_completion_and_the_latest_findings_count_in_segments_too(tmp_path: Path) -> None:
    write(tmp_path, *KEYS[:40])
    write(tmp_path, *KEYS[:40], text="again", checks="checks-2")
    with ledger.open_ledger(tmp_path, "synthetic") as book:
        book.add_findings(OTHER, {"checks": "checks-3"})
    assert read(tmp_path, KEY, OTHER) == [("of", "checks-2"), ("of", "checks-3")]


def test_sessions_that_a_killed_process_did_not_remove_change_nothing(tmp_path: Path) -> None:
    write(tmp_path, *KEYS[:12])
    saved = shutil.copytree(tmp_path / "ledger", tmp_path / "saved")
    segment = compact(tmp_path)
    shutil.copytree(saved, tmp_path / "ledger", dirs_exist_ok=True)
    assert read(tmp_path, *KEYS[:12]) == [("of", "checks-1")] * 12
    assert list((tmp_path / "ledger").iterdir()) == [segment]


def test_a_number_is_never_given_twice(tmp_path: Path) -> None:
    write(tmp_path, *KEYS[:12])
    compact(tmp_path)
    write(tmp_path, KEYS[20])
    assert names(tmp_path, ".jsonl") == ["00001.jsonl"]
    assert read(tmp_path, KEYS[20]) == [("of", "checks-1")]


@pytest.mark.usefixtures("small_sessions")
def test_a_damaged_value_costs_itself_and_is_asked_for_again(tmp_path: Path) -> None:
    write(tmp_path, *KEYS[:12])
    path = compact(tmp_path)
    data = bytearray(path.read_bytes())
    place = data.index(b"\x28\xb5\x2f\xfd")  # the first zstd frame: that of the smallest key
    data[place + 8 : place + 30] = bytes(22)
    path.write_bytes(data)
    smallest = min(KEYS[:12])
    with ledger.open_ledger(tmp_path, "synthetic") as book:
        assert [key for key in KEYS[:12] if book.read_completion(key) is None] == [smallest]
        assert (smallest in book, book.damaged) == (False, 1)
        book.add_completion(smallest, {"text": "again"})
        assert (book.read_completion(smallest) or {})["text"] == "again"
    write(tmp_path, *KEYS[100:140])  # enough to be merged with it
    assert not path.exists()
    assert read(tmp_path, smallest, KEYS[100]) == [("again", "checks-1"), ("of", "checks-1")]


@pytest.mark.parametrize("damage", ["a flipped key", "cut off", "other content"])
def test_a_segment_whose_keys_are_not_whole_is_an_error_and_not_an_empty_ledger(damage: str, tmp_path: Path) -> None:
    write(tmp_path, *KEYS[:12])
    path = compact(tmp_path)
    data = path.read_bytes()
    key = bytes.fromhex(KEYS[3])
    changed = {"a flipped key": data.replace(key, key[:-1] + b"?"), "cut off": data[:-100], "other content": b"no"}
    path.write_bytes(changed[damage])
    with pytest.raises(DeepicdError, match="is damaged"):
        read(tmp_path, KEY)


def test_shards_write_beside_each_other_and_nobody_else_does(tmp_path: Path) -> None:
    first, second = Shard.parse("1/2"), Shard.parse("2/2")
    with (
        ledger.open_ledger(tmp_path, "synthetic", first) as one,
        ledger.open_ledger(tmp_path, "synthetic", second) as two,
    ):
        one.add_completion(KEY, {"text": "one"})
        two.add_completion(OTHER, {"text": "two"})
        for shard, holder in ((Shard.parse("1/3"), r"shard \d of 2"), (Shard.parse("1/1"), r"shard \d of 2")):
            with pytest.raises(DeepicdError, match=holder), ledger.open_ledger(tmp_path, "synthetic", shard):
                pass
        with pytest.raises(DeepicdError, match="process"), ledger.open_ledger(tmp_path, "synthetic", first):
            pass
    assert names(tmp_path, ".jsonl") == ["00000.jsonl", "00001.jsonl"]
    with ledger.open_ledger(tmp_path, "synthetic") as book:
        assert [(book.read_completion(key) or {})["text"] for key in (KEY, OTHER)] == ["one", "two"]
        with pytest.raises(DeepicdError, match="a whole run"), ledger.open_ledger(tmp_path, "synthetic", first):
            pass


@pytest.mark.usefixtures("small_sessions")
def test_a_shard_divides_its_session_and_leaves_those_of_others(tmp_path: Path) -> None:
    write(tmp_path, *KEYS[:3])
    with (
        ledger.open_ledger(tmp_path, "synthetic", Shard(1, 2)) as one,
        ledger.open_ledger(tmp_path, "synthetic", Shard(2, 2)) as two,
    ):
        for key in KEYS[10:60]:
            one.add_completion(key, {"text": "one"})
            two.add_completion(KEYS[KEYS.index(key) + 50], {"text": "two"})
    assert "00000.jsonl" in names(tmp_path, ".jsonl")
    with ledger.open_ledger(tmp_path, "synthetic", Shard(1, 2)) as book:
        assert len(book) == 103
    with ledger.open_ledger(tmp_path, "synthetic") as book:
        assert [(book.read_completion(key) or {})["text"] for key in (KEYS[59], KEYS[109])] == ["one", "two"]
