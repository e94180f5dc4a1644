"""Small cells of a table of one row."""

from deepicd.cells import suppress_small


def test_one_hidden_cell_hides_a_second() -> None:
    assert suppress_small({"a": 100, "b": 40, "c": 3, "d": 0}) == {"a": 100, "b": None, "c": None, "d": 0}
    assert suppress_small({"a": 100, "b": 8, "c": 3}) == {"a": 100, "b": None, "c": None}
    # 1 and 1 of a total of 102 are no secret: a third goes with them
    assert suppress_small({"a": 100, "b": 1, "c": 1, "d": 50}) == {"a": 100, "b": None, "c": None, "d": None}
    assert suppress_small({"a": 100, "b": 10}) == {"a": 100, "b": 10}
    assert suppress_small({"b": 4}) == {"b": None}
