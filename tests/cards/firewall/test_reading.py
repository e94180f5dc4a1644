"""The firewall reads as a reader does: however a passage or an id is written, it is the same passage or id."""

import html
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from cohorts import write_cohort

from cards.firewall import patterns
from cards.firewall.check import PASSAGE, check_path
from cards.firewall.normalize import join_marked, normalize

WORDS = (
    "Slipped on wet leaves behind the brewery and twisted her left ankle, kept walking for 3 days, then noticed"
    " swelling and a bluish rim around the heel; paracetamol helped little, cold packs helped more, no fever, no numb"
    " toes, no earlier injury to that foot apart from a sprain during a school trip many years ago"
).split()
TEXT = " ".join(WORDS)


def cut(words: list[str], length: int) -> list[str]:
    return [" ".join(words[place : place + length]) for place in range(0, len(words), length)]


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("notes") / "cohort", 30, "mimic", notes=[TEXT] * 3)


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
    "hyphenated": ("a.md", lambda: " ".join(f"{w[:3]}-\n{w[3:]}" if len(w) > 5 else w for w in WORDS)),
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


@pytest.mark.parametrize("text", ["1765<b>4321</b>", "1765**4321**", "1,76,54,321", "<i>1</i>7654321-DS-9"])
def test_an_id_is_found_behind_marks_and_separators(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(f"of {text} it")
    assert [finding.reason for finding in check_path(tmp_path / "a.html").findings]


def test_a_long_line_of_marks_costs_its_length() -> None:
    for block in (b"*" * 2**18, b"a*" * 2**17, b"<a>" * 2**16, b"<a b>" * 2**16, b"<" * 2**18, b"a" * 2**18 + b"<"):
        assert len(join_marked(block)) == len(block)


def test_a_word_in_tags_keeps_its_line() -> None:
    assert join_marked(b"a\n<b>p</b>ain\n").split(b"\n") == [b"a", b"pain       ", b""]


def test_a_file_name_is_read_too_and_not_shown(notes: Path, tmp_path: Path) -> None:
    (tmp_path / f"{'-'.join(WORDS[:18])}.md").write_text("fine")
    (tmp_path / "subject17654321.md").write_text("fine")
    found = [str(finding) for finding in check_path(tmp_path, notes_from=notes).findings]
    assert len(found) > 1 and any(PASSAGE in line for line in found)
    assert any(patterns.SUBJECT in line for line in found)
    assert "brewery" not in "".join(found) and "17654321" not in "".join(found)
