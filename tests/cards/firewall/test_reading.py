"""The firewall reads as a reader does: however a passage or an id is written, it is the same passage or id."""

import html
import json
import re
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from cohorts import write_cohort

from cards.firewall import patterns
from cards.firewall.check import MAX_FINDINGS, PASSAGE, check_path
from cards.firewall.normalize import fold, join_marked, normalize

WORDS = (
    "Slipped on wet leaves behind the brewery and twisted her left ankle, kept walking for 3 days, then noticed"
    " swelling and a bluish rim around the heel; paracetamol helped little, cold packs helped more, no fever, no numb"
    " toes, no earlier injury to that foot apart from a sprain during a school trip many years ago"
).split()
TEXT = " ".join(WORDS)


def cut(words: list[str], length: int) -> list[str]:
    return [" ".join(words[place : place + length]) for place in range(0, len(words), length)]


def hyphenate(line_break: str) -> str:
    return " ".join(f"{word[:3]}{line_break}{word[3:]}" if len(word) > 5 else word for word in WORDS)


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("notes") / "cohort", 30, "mimic", notes=[TEXT] * 3)


CYRILLIC = str.maketrans("aeopcyi", "\u0430\u0435\u043e\u0440\u0441\u0443\u0456")
GREEK = str.maketrans("AEOTHN", "\u0391\u0395\u039f\u03a4\u0397\u039d")
WRITINGS: dict[str, tuple[str, Callable[[], str]]] = {
    "no-break spaces": ("a.md", lambda: "\u00a0".join(WORDS)),
    "thin spaces": ("a.md", lambda: "\u2009".join(WORDS)),
    "em dashes": ("a.md", lambda: "\u2014".join(cut(WORDS, 6))),
    "bullets": ("a.md", lambda: "\n".join("\u2022" + part for part in cut(WORDS, 5))),
    "curly quotes": ("a.md", lambda: " ".join(f"\u201c{word}\u201d" for word in WORDS)),
    "soft hyphens": ("a.md", lambda: " ".join(word[:2] + "\u00ad" + word[2:] for word in WORDS)),
    "zero width": ("a.md", lambda: " ".join("\u200d".join(word) for word in WORDS)),
    "full width": ("a.md", lambda: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in TEXT)),
    "accents": ("a.md", lambda: TEXT.replace("e", "e\u0301").replace("o", "\u00f6")),
    "entities": ("a.html", lambda: "".join(f"&#{ord(c)};" for c in TEXT)),
    "named entities": ("a.html", lambda: "&nbsp;".join(map(html.escape, WORDS))),
    "percent": ("a.txt", lambda: quote(TEXT)),
    "escapes": ("a.txt", lambda: "".join(f"\\u{ord(c):04x}" for c in TEXT)),
    "literal line breaks": ("a.md", lambda: "\\n".join(WORDS)),
    "escaped twice": ("a.json", lambda: json.dumps(json.dumps("\n".join(WORDS)))),
    "breaks": ("a.html", lambda: "<br>".join(cut(WORDS, 6))),
    "spans": ("a.html", lambda: " ".join(f'<span class="token">{word}</span>' for word in WORDS)),
    "svg": ("a.svg", lambda: "<svg>" + "".join(f'<tspan x="{n}" dy="7">{w}</tspan>' for n, w in enumerate(WORDS))),
    "a word per line": ("a.txt", lambda: "\n".join(WORDS)),
    "a word per cell": ("a.csv", lambda: ";".join(WORDS)),
    "labelled": ("a.tsv", lambda: "\n".join(f"{word}\tI-SYMPTOM" for word in WORDS)),
    "parsed": ("a.txt", lambda: "\n".join(f"{n}\t{w}\t{'NVJ'[n % 3]}N\tdep" for n, w in enumerate(WORDS))),
    "tokens": ("a.json", lambda: json.dumps([{"word": word, "score": 0.25} for word in WORDS])),
    "numbered": ("a.md", lambda: "\n".join(f"| {n} | {part} |" for n, part in enumerate(cut(WORDS, 5)))),
    "grep": ("a.txt", lambda: "\n".join(f"ward.csv:{n}:{part}" for n, part in enumerate(cut(WORDS, 5)))),
    "quoted": ("a.md", lambda: "\n".join(f"> {part}" for part in cut(WORDS, 4))),
    "drop caps": ("a.html", lambda: " ".join(f"<b>{word[0]}</b>{word[1:]}" for word in WORDS)),
    "a tag per glyph": ("a.svg", lambda: "".join(f'<tspan x="{n}">{c}</tspan>' for n, c in enumerate(TEXT))),
    "stars": ("a.md", lambda: " ".join(f"{word[:2]}**{word[2:]}**" for word in WORDS)),
    "an address in an address": ("a.txt", lambda: quote(quote(TEXT))),
    "mail": ("a.txt", lambda: "=20".join(WORDS)),
    "mail, soft breaks": ("a.txt", lambda: " ".join(f"{w[:3]}=\n{w[3:]}" if len(w) > 3 else w for w in WORDS)),
    "long escapes": ("a.txt", lambda: "".join(f"\\U{ord(c):08x}" for c in TEXT)),
    "Cyrillic letters": ("a.md", lambda: TEXT.translate(CYRILLIC)),
    "Greek letters": ("a.md", lambda: TEXT.upper().translate(GREEK)),
    "glued": ("a.md", lambda: "".join(WORDS)),
    "glued by seven": ("a.md", lambda: " ".join("".join(WORDS[n : n + 7]) for n in range(0, len(WORDS), 7))),
    "camel case by two": ("a.md", lambda: re.sub(r" (\w)(\w+) ", lambda m: f"{m[1].upper()}{m[2]} ", TEXT)),
    "camel case": ("a.md", lambda: "".join(word.capitalize() for word in WORDS)),
    "letter by letter": ("a.md", lambda: " ".join(TEXT.replace(" ", ""))),
    "a letter per line": ("a.csv", lambda: "\n".join(f"{n},{c}" for n, c in enumerate(TEXT.replace(" ", "")))),
    "keys between": ("a.json", lambda: json.dumps({f"{'ABCDEFG'[n % 7] * 3} {n}": w for n, w in enumerate(WORDS)})),
    "analysed": ("a.json", lambda: json.dumps([{"form": w, "lemma": w[::-1] + "q", "tag": f"q{w}"} for w in WORDS])),
    "settings": ("a.yaml", lambda: "\n".join(f"{chr(97 + n % 23) * 2}_{n}: {word}" for n, word in enumerate(WORDS))),
    "octal": ("a.txt", lambda: "".join(f"\\{ord(c):03o}" for c in TEXT)),
    "bytes": ("a.py", lambda: "".join(f"\\x{ord(c):02x}" for c in TEXT)),
    "mail, all quoted": ("a.txt", lambda: "".join(f"={ord(c):02X}" for c in TEXT)),
    "hyphenated": ("a.md", lambda: hyphenate("-\n")),
    "hyphenated, blanks": ("a.md", lambda: hyphenate("-  \n")),
    "hyphenated, empty lines": ("a.md", lambda: hyphenate("-\r\n\r\n")),
    "hyphenated, U+2028": ("a.md", lambda: hyphenate("-\u2028")),
    "hyphenated in JSON": ("a.json", lambda: json.dumps(hyphenate("-\n"))),
}  # fmt: skip


@pytest.mark.parametrize("writing", WRITINGS)
def test_a_passage_is_found_however_it_is_written(writing: str, notes: Path, tmp_path: Path) -> None:
    name, write = WRITINGS[writing]
    (tmp_path / name).write_text(write(), encoding="utf-8")
    assert PASSAGE in {finding.reason for finding in check_path(tmp_path, notes_from=notes).findings}


def test_other_words_in_the_same_dress_pass(notes: Path, tmp_path: Path) -> None:
    words = "A card that shows how many rows there are per chapter, and nothing that anybody said or wrote".split()
    (tmp_path / "a.tsv").write_text("\n".join(f"{word}\tI-SYMPTOM" for word in words))
    (tmp_path / "a.html").write_text(" ".join(f"<span>{word}</span>" for word in words))
    (tmp_path / "a.md").write_text("\u00a0".join(words) + "\n50&nbsp;% \u2013 12\u00a0345 rows \u2264 9\n")
    assert check_path(tmp_path, notes_from=notes).findings == []


def test_a_list_of_long_words_is_no_passage(tmp_path: Path) -> None:
    illnesses = "hypertension, hyperlipidemia, hypothyroidism, gastroparesis, cardiomyopathy"
    cohort = write_cohort(tmp_path / "cohort", 30, "mimic", notes=[f"History of {illnesses} and a cold."])
    (tmp_path / "a.md").write_text(f"Codes of {illnesses}.\n")
    assert check_path(tmp_path / "a.md", notes_from=cohort).findings == []


def test_a_finding_has_the_line_of_the_file(notes: Path, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("\u2022 one\n&lt;two&gt;\n\u00a0\n" + "\u00a0".join(WORDS) + "\n")
    found = check_path(tmp_path, notes_from=notes).findings
    assert {(finding.line, finding.reason) for finding in found} == {(4, PASSAGE)}


@pytest.mark.parametrize(
    "text",
    [
        "\uff11\uff17\uff16\uff15\uff14\uff13\uff12\uff11",
        "\u0661\u0667\u0666\u0665\u0664\u0663\u0662\u0661",
        "1765\u200b4321",
        "17\u00a0654\u00a0321",
        "&#49;7654321",
        "%317654321",
        "\\u00317654321",
        "17654321\u2013DS\u20139",
    ],
)
def test_an_id_is_found_in_the_digits_of_any_script(text: str) -> None:
    assert [reason for _, reason in patterns.find_patterns(normalize(f"of {text} it".encode()))]


@pytest.mark.parametrize(
    "text",
    [
        "1765<b>4321</b>",
        "1765**4321**",
        "1,76,54,321",
        "<i>1</i>7654321-DS-9",
        "1765-\n4321",
        "176-\n> 54321",
        "\\061\\067\\066\\065\\064\\063\\062\\061",
        "seen17654321today",
    ],
)
def test_an_id_is_found_behind_marks_and_separators(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(f"of {text} it")
    assert [finding.reason for finding in check_path(tmp_path / "a.html").findings]


BREAKS = (
    "\n", "\r\n", "\r", "\f", "\v", "\x85", "\u2028", "\u2029", "  \n", "\t\r\n", "\n\n", "\r\n\r\n\r\n", "\n>\n> ",
    "-\r\n", "- \n", "\\n", "\\r\\n", "-\\n", "&#10;", "%0D%0A", "\\u2028",
)  # fmt: skip


@pytest.mark.parametrize("line_break", BREAKS)
def test_an_id_is_found_over_line_ends_of_any_kind(line_break: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(f"one\nid 1765{line_break}4321 is", newline="")
    assert [(found.line, found.reason) for found in check_path(tmp_path).findings] == [(2, patterns.SUBJECT)]
    (tmp_path / "a.md").write_text(f"in 2019{line_break}2020 it\n 1765{line_break}4321{line_break}9", newline="")
    assert check_path(tmp_path).findings == []  # years; a list
    (tmp_path / "a.md").write_text("sums\n 1765  2000 \n 4321  1000 \n 1234 \n 5678 \n")
    assert check_path(tmp_path).findings == []


@pytest.mark.parametrize("line_break", ["\n", "\r\n", " \n", "\u2028", "\\n"])
def test_a_prompt_is_found_with_any_line_end_and_its_template_passes(line_break: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(f'"# Admission note{line_break}## Sex{line_break}F"', newline="")
    assert [finding.reason for finding in check_path(tmp_path).findings] == [patterns.PROMPT]
    (tmp_path / "a.json").write_text(f'"# Admission note{line_break}{{note}}"', newline="")
    assert check_path(tmp_path).findings == []


ID = "10000007"
"""Of a row of the cohort, see cohorts.py."""

IN_PARTS = [
    "1000 | 0007", "1000/0007", "10/000/007", "10-000-007", "1000\t0007", "1000 0007", "1000,0007", "abc10000007def",
    "1, 0, 0, 0, 0, 0, 0, 7", '["1", "0", "0", "0", "0", "0", "0", "7"]', "1 | 0 | 0 | 0 | 0 | 0 | 0 | 7",
    "1\n0\n0\n0\n0\n0\n0\n7", "1_0_0_0_0_0_0_7",
]  # fmt: skip


@pytest.mark.parametrize("text", IN_PARTS)
def test_an_id_of_the_notes_is_found_in_parts_and_other_numbers_pass(text: str, notes: Path, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(f"one\nof {text} it\n")
    [finding] = check_path(tmp_path, notes_from=notes).findings
    assert (finding.line, finding.reason) == (2, patterns.APART)
    (tmp_path / "a.md").write_text(f"one\nof {text.replace('7', '8').replace('1', '3')} it\n")
    assert check_path(tmp_path, notes_from=notes).findings == []


@pytest.mark.parametrize(
    "text",
    [
        "| I00 | 10 | 000 | 007 |",  # a row of counts
        "| 1,000 | 0,007 |",
        "on 2000-00-07, 2019\u20132020",
        "1.0, 0.0, 0.0, 0.7",
        "[1, 0, 0, 0, 0, 0, 0, 7, 1, 0]",
        "1000.0007",
    ],
)
def test_numbers_side_by_side_are_no_id(text: str) -> None:
    assert 10_000_007 not in [number for _, number in patterns.find_apart(normalize(text.encode()))]


def test_each_character_is_read_as_something_that_is_read_as_itself() -> None:
    for code in (*range(0xD800), *range(0xE000, 0x110000)):
        read = fold(chr(code))
        assert "".join(map(fold, read)) == read, f"U+{code:04X}"


def test_characters_are_read_one_by_one_in_any_company() -> None:
    text = "\ufb01 \u00bd \u03a3 \u0430b\u200bc \U0001f170\u212b\uac00 x"
    assert normalize(text.encode()) == "".join(map(fold, text)).encode()


def test_a_long_line_of_marks_costs_its_length() -> None:
    for block in (b"*" * 2**18, b"a*" * 2**17, b"<a>" * 2**16, b"<a b>" * 2**16, b"<" * 2**18, b"a" * 2**18 + b"<"):
        assert len(join_marked(block)) == len(block)


def test_a_long_run_of_the_same_costs_its_length(tmp_path: Path) -> None:
    start = time.monotonic()
    for text in ("\\", "\\061\\", "a\\", "a-\n", "-\n", "\n", "1-\n", "1,", "1\n", "_ "):
        (tmp_path / "a.txt").write_text(text * (2**18 // len(text)))
        assert check_path(tmp_path).findings == []
    assert time.monotonic() - start < 60


def test_pairs_of_numbers_are_not_kept_and_a_list_of_ids_in_parts_is_cut(notes: Path, tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("".join(f"{1000 + n % 2000},{9999 - n % 9000:04d}\n" for n in range(300_000)))
    tracemalloc.start()
    try:
        assert check_path(table, notes_from=notes).findings == []
        assert tracemalloc.get_traced_memory()[1] < 30 * 2**20
    finally:
        tracemalloc.stop()
    table.write_text(f"{ID[:4]},{ID[4:]}\n" * 300_000)
    found = check_path(table, notes_from=notes).findings
    assert MAX_FINDINGS < len(found) < 50_000 and "the rest was not read" in found[0].reason


def test_a_word_in_tags_keeps_its_line() -> None:
    assert join_marked(b"a\n<b>p</b>ain\n").split(b"\n") == [b"a", b"pain       ", b""]


def test_a_file_name_is_read_too_and_not_shown(notes: Path, tmp_path: Path) -> None:
    (tmp_path / f"{'-'.join(WORDS[:18])}.md").write_text("fine")
    (tmp_path / "subject17654321.md").write_text("fine")
    found = [str(finding) for finding in check_path(tmp_path, notes_from=notes).findings]
    assert len(found) > 1 and any(PASSAGE in line for line in found)
    assert any(patterns.SUBJECT in line for line in found)
    assert "brewery" not in "".join(found) and "17654321" not in "".join(found)
