"""The ledger: what was handed over is there, whatever became of the process, and damage costs a line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deepicd import storage
from deepicd.engines import ledger
from deepicd.errors import DeepicdError
from distill.recipe import Recipe

KEY, OTHER, THIRD = "5d" * 16, "ab" * 16, "0f" * 16


def write(out: Path, *keys: str) -> None:
    with ledger.open_ledger(out, "synthetic") as book:
        for key in keys:
            book.add_completion(key, {"text": f"of {key} “ä”\u2028\n", "finish_reason": "stop"})


def test_an_answer_is_found_by_its_key_in_this_session_and_in_the_next(tmp_path: Path) -> None:
    with ledger.open_ledger(tmp_path, "synthetic") as book:
        book.add_completion(KEY, {"text": "one\n\u2028two"})
        assert (KEY in book, OTHER in book, len(book)) == (True, False, 1)
        assert book.read_completion(KEY) == {**(book.read_completion(KEY) or {}), "text": "one\n\u2028two", "key": KEY}
    with ledger.open_ledger(tmp_path, "synthetic") as book:
        assert (book.read_completion(KEY) or {})["text"] == "one\n\u2028two"
        assert book.read_completion(OTHER) is None


def test_findings_of_a_later_version_take_the_place_of_earlier_ones(tmp_path: Path) -> None:
    write(tmp_path, KEY)
    for version in ("checks-1", "checks-2"):
        with ledger.open_ledger(tmp_path, "synthetic") as book:
            book.add_findings(KEY, {"checks": version})
    with ledger.open_ledger(tmp_path, "synthetic") as book:
        assert (book.read_findings(KEY) or {})["checks"] == "checks-2"
        assert (book.read_completion(KEY) or {})["finish_reason"] == "stop"


def test_each_session_has_a_file_of_its_own_and_one_that_adds_nothing_has_none(tmp_path: Path) -> None:
    write(tmp_path, KEY)
    write(tmp_path)
    write(tmp_path, OTHER)
    assert [path.name for path in sorted((tmp_path / "ledger").iterdir())] == ["00000.jsonl", "00001.jsonl"]


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (lambda data: data[:-1], [KEY, OTHER]),  # the line break is missing
        (lambda data: data[:-40], [KEY, OTHER]),
        (lambda data: data + b'{"crc":"', [KEY, OTHER, THIRD]),
        (lambda data: data + b"\0" * 4096, [KEY, OTHER, THIRD]),  # what some file systems leave after a power cut
        (lambda data: data.replace(f"of {OTHER}".encode(), f"on {OTHER}".encode()), [KEY, THIRD]),  # a flipped bit
        (lambda data: data + b"\xff\xfe rubbish\n", [KEY, OTHER, THIRD]),
        (lambda data: data.replace(b'\n{"crc"', b'\nZ"crc"', 1), [OTHER, THIRD]),  # before what the checksum is of
    ],
)
def test_a_damaged_line_costs_itself_and_is_counted(damage, left: list[str], tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path, KEY, OTHER, THIRD)
    file = tmp_path / "ledger" / "00000.jsonl"
    file.write_bytes(damage(file.read_bytes()))
    with ledger.open_ledger(tmp_path, "synthetic") as book:
        assert [key for key in (KEY, OTHER, THIRD) if key in book] == left
        assert book.damaged == 1
        book.add_completion(OTHER, {"text": "again"})
    with ledger.open_ledger(tmp_path, "synthetic") as book:
        assert OTHER in book


def test_a_line_that_a_session_wrote_before_it_was_killed_is_there(tmp_path: Path) -> None:
    script = f"""
import os, signal, sys
from pathlib import Path
from deepicd.engines import ledger
with ledger.open_ledger(Path(sys.argv[1]), "synthetic") as book:
    book.add_completion({KEY!r}, {{"text": "saved"}})
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script, tmp_path], check=False).returncode == -9
    with ledger.open_ledger(tmp_path, "synthetic") as book:
        assert (book.read_completion(KEY) or {})["text"] == "saved"


def test_two_processes_cannot_have_it_at_once(tmp_path: Path) -> None:
    with (
        ledger.open_ledger(tmp_path, "synthetic"),
        pytest.raises(DeepicdError, match="Another process is writing"),
        ledger.open_ledger(tmp_path, "synthetic"),
    ):
        pass


def test_it_says_where_its_texts_come_from(tmp_path: Path) -> None:
    write(tmp_path, KEY)
    file = tmp_path / "ledger" / "00000.jsonl"
    assert storage.read_origin(file) == "synthetic"
    assert json.loads(file.read_text().splitlines()[0])["kind"] == "session"
    file.write_text("{}\n")
    assert storage.read_origin(file) == "mimic"  # nothing said: credentialed
    file.write_text("rubbish")
    assert storage.read_origin(file) == "mimic"


RECIPE = Recipe(name="test", engine="vllm", model="m", revision="r")
PROMPT = "ab" * 32


def test_a_key_holds_all_that_decides_a_completion_and_nothing_of_where_it_runs() -> None:
    key = ledger.build_key(RECIPE, "n-1", PROMPT)
    for fields in ({"engine": "ray"}, {"base_url": "http://127.0.0.1:1/v1"}, {"tensor_parallel": 4}, {"timeout": 1.0}):
        assert ledger.build_key(RECIPE.replace(**fields), "n-1", PROMPT) == key
    others = [
        ledger.build_key(RECIPE.replace(**fields), "n-1", PROMPT)
        for fields in (
            {"model": "other"}, {"revision": "other"}, {"dtype": "float16"}, {"context": 4096}, {"temperature": 0.5},
            {"top_p": 0.5}, {"top_k": 5}, {"max_tokens": 5}, {"seed": 7}, {"engine": "rehearsal"},
        )
    ]  # fmt: skip
    others += [
        ledger.build_key(RECIPE, "n-2", PROMPT),
        ledger.build_key(RECIPE, "n-1", "cd" * 32),
        ledger.build_key(RECIPE, "n-1", PROMPT, 1),
        ledger.build_key(RECIPE, "n-1", PROMPT, 0, {"type": "object"}),
    ]
    assert len({key, *others}) == 1 + len(others)


def test_any_change_of_a_prompt_is_another_digest() -> None:
    chat = [{"role": "system", "content": "Reason."}, {"role": "user", "content": "Cough."}]
    others = [(chat, ""), (chat[1:], "<think>\n"), (list(reversed(chat)), "<think>\n")]
    assert len({ledger.digest_prompt(*other) for other in [(chat, "<think>\n"), *others]}) == 4


def test_keys_of_earlier_versions_stay_what_they_were() -> None:
    assert ledger.build_former_key(RECIPE, "n-1", PROMPT, 0) == "a269af6ee9a6ddabd8e9f4dd2786924d"
    assert ledger.build_former_key(RECIPE, "n-1", PROMPT, 1) == "100a6f3be69dae910db197a65e0958d0"
    rehearsal = RECIPE.replace(engine="rehearsal")
    assert ledger.build_former_key(rehearsal, "n-1", PROMPT) == "81c66154c81cfc4fb1faa15ef1cc792a"
    assert ledger.build_key(rehearsal, "n-1", PROMPT) == "81c66154c81cfc4fb1faa15ef1cc792a"


def test_a_completion_is_found_under_a_former_key_and_its_findings_go_there(tmp_path: Path) -> None:
    write(tmp_path, OTHER)
    with ledger.open_ledger(tmp_path, "synthetic") as book:
        assert book.resolve_key(KEY, OTHER) == OTHER
        assert book.resolve_key(KEY, THIRD) == KEY
        book.add_findings(book.resolve_key(KEY, OTHER), {"checks": "checks-1"})
    with ledger.open_ledger(tmp_path, "synthetic") as book:
        assert (book.read_findings(OTHER) or {})["checks"] == "checks-1"
        book.add_completion(KEY, {"text": "newer"})
        assert book.resolve_key(KEY, OTHER) == KEY
