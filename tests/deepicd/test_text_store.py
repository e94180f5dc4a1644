"""Texts that wait on disk, and leave nothing there."""

from pathlib import Path

from deepicd.text_store import open_text_store


def test_a_text_comes_back_as_it_was_and_no_file_is_to_be_seen(tmp_path: Path) -> None:
    texts = ["Fever.", "", "39,5 °C – “Fieber”", "half a pair: \ud83d", "a\r\nb\0c", "x" * 100_000]
    with open_text_store(tmp_path / "not" / "yet" / "there") as store:
        stored = [store.add(text) for text in texts[:3]]
        assert [text.read() for text in stored] == texts[:3]
        stored += [store.add(text) for text in texts[3:]]
        assert [text.read() for text in reversed(stored)] == texts[::-1]
        assert [bool(text) for text in stored] == [True, False, True, True, True, True]
        assert not list(tmp_path.iterdir())
