"""Rows about traces are handed out as the traces are read, and none is lost on the way."""

from collections.abc import Iterator

from builders.dataset.selection import Row, RowsByNote


def list_rows(*note_ids: str) -> list[Row]:
    return [{"note_id": note_id, "place": place} for place, note_id in enumerate(note_ids)]


def test_rows_in_the_order_of_the_traces_are_read_one_ahead() -> None:
    read: list[str] = []

    def rows() -> Iterator[Row]:
        for row in list_rows("a", "a", "b", "c", "c"):
            read.append(row["note_id"])
            yield row

    by_note = RowsByNote(rows())
    assert [row["place"] for row in by_note.take("a")] == [0, 1]
    assert read == ["a", "a", "b"]
    assert [row["place"] for row in by_note.take("b")] == [2]
    assert read == ["a", "a", "b", "c"]


def test_rows_in_another_order_wait_and_those_of_no_trace_are_left() -> None:
    by_note = RowsByNote(iter(list_rows("c", "b", "x", "a", "y")))
    assert [row["place"] for note_id in ("a", "b", "c", "d") for row in by_note.take(note_id)] == [3, 1, 0]
    assert [row["note_id"] for row in by_note.take_rest()] == ["x", "y"]
