"""JSON and YAML of any depth, size and number end as a value or an error that says where."""

import pytest

from deepicd.parsing import ParseError, parse_json, parse_yaml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested deeper than 100 levels"),
        ("[" * 101 + "]" * 101, "nested deeper than 100 levels"),
        ('{"a":' * 100_000, "nested deeper than 100 levels"),
        ("9" * 5_000, "a number has more than 64 bits"),
        ("9223372036854775808", "a number has more than 64 bits"),
        (r'["\ud800"]', "half of a surrogate pair"),
        (b'"\xff"', "byte 2 is not UTF-8"),
        ('{"a": 1,', "Expecting property name enclosed in double quotes: line 1 column 9"),
        ("", "Expecting value: line 1 column 1"),
        (b" " * (64 * 2**20 + 1), "larger than 64 MiB"),
    ],
)
def test_bad_json_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested deeper than 100 levels"),  # PyYAML's C loader ends the process
        ("- " * 100_000, "nested deeper than 100 levels"),
        ("a: " + "9" * 5_000, "a number has more than 64 bits"),
        ("a: &one [1]\nb: *one", "has anchors"),
        ("a: 1\nb: 2\na: 3", "sets a key twice: line 1 and below"),
        ("? [a]\n: 1", "found unhashable key: line 1 column 3"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor for the tag"),
        ("!!int x", "does not have the form of its tag"),
        ("!!set {a}", "could not determine a constructor"),
        ("a: b: c", "mapping values are not allowed in this context: line 1 column 5"),
        ("\0", "a character that YAML does not allow"),
        ("a" * 2**20 + "a", "larger than 1 MiB"),
    ],
)
def test_bad_yaml_is_refused(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        parse_yaml(text)


def test_what_is_within_the_bounds_is_read_as_ever() -> None:
    assert parse_json('{"a": [1, 2.5, null, true, "\\ud83d\\ude00"]}') == {"a": [1, 2.5, None, True, "😀"]}
    assert parse_json(b'\xef\xbb\xbf{"n": -9223372036854775807}') == {"n": -9223372036854775807}
    assert parse_json("[" * 100 + "]" * 100)
    assert parse_yaml("a: [1, 2.5, null, true, x]\nday: 2024-01-02\n1: one") == {
        "a": [1, 2.5, None, True, "x"],
        "day": "2024-01-02",
        1: "one",
    }


def test_a_reply_of_a_server_may_have_odd_numbers_and_texts() -> None:
    text = r'{"n": NaN, "long": 99999999999999999999, "large": 1e999, "half": "\ud800"}'
    assert parse_json(text, is_lenient=True) == {"n": None, "long": None, "large": None, "half": "\ud800"}
