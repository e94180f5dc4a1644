"""The firewall: what may leave passes, what may not is named by file, line and reason, and never shown."""

import struct
import zlib
from pathlib import Path

import pytest
from cohorts import NOTE, write_cohort
from conftest import Deepicd

from cards.firewall import passages, patterns
from cards.firewall.check import PASSAGE, check_path
from deepicd import records, storage
from deepicd.storage import Origin


def run_of(folder: Path, origin: Origin, command: str = "card") -> Path:
    with records.open_resumable_folder(folder, records.plan_run(command, options={}, inputs={}), origin):
        pass
    return folder


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("patient 10000032 was", patterns.SUBJECT),
        ('{"hadm_id": 20000019}', patterns.STAY),
        ("10000032.0,1", patterns.SUBJECT),  # pandas, a column with gaps
        ("files/p10/p10000032/", patterns.SUBJECT),
        ("subject_10000032.png", patterns.SUBJECT),
        ("10000032-DS-21", patterns.NOTE),
        ("hadm_id 20240229", patterns.STAY),  # looks like a date, but is called an id
        ("20000019", patterns.STAY),
        ("stay 31415926", patterns.ICU),
        ("subject17654321", patterns.SUBJECT),
        ("HADM_27182818", patterns.STAY),
        ("17654321x", patterns.SUBJECT),
        ("17654321.25", patterns.SUBJECT),
        ("17,654,321", patterns.SUBJECT),
        ("27 182 818", patterns.STAY),
        ("27.182.818", patterns.STAY),
        ("0017654321", patterns.SUBJECT),
        ("1.7654321e7", patterns.SUBJECT),
        ("2.7182818E+07", patterns.STAY),
        ("17654321-1234-5678-x", patterns.SUBJECT),
        ("seen as 1765\n4321 there", patterns.SUBJECT),
        ("presents with ___ pain", patterns.BLANK),
        ("___yo woman", patterns.BLANK),
        ("# Admission note\n## Chief Complaint", patterns.PROMPT),
        (r'{"content": "# Admission note\n## Chief Complaint"}', patterns.PROMPT),
    ],
)
def test_what_may_not_leave_is_found(text: str, reason: str) -> None:
    assert [found for _, found in patterns.find_patterns(text.encode(), markdown=True)] == [reason]


@pytest.mark.parametrize(
    "text",
    [
        "9f10000032ab",  # within a digest
        "20000019-ab12-4c3d-9e8f-001122334455",  # a UUID
        "on 20240229",  # a date
        '"bytes": 12345678, "num_bytes": 23456789',
        "12345678 bytes",
        "prompt_tokens: 12345678",
        "0.12345678 and 0.00012345678",
        "PMID: 12345678; doi:10.1000/12345678",
        "12,345,678 rows",
        "1,212,345,678 and 12,345,678,912",
        "2e7, 2.5e7, 1.5e-7",
        "between 2019\n2020 and",
        "| 1234 |\n| 5678 |",
        "110000032 and 1000003",  # nine digits, seven
        "40000019 and 00000019",
        "above\n___\nbelow",  # a rule of Markdown
        "______",
        "__init__",
        "# Admission note\n{note}",  # the template of a prompt
    ],
)
def test_what_only_looks_like_it_passes(text: str) -> None:
    assert list(patterns.find_patterns(text.encode(), markdown=True)) == []


def test_a_passage_is_found_however_it_is_wrapped_and_punctuated() -> None:
    runs_of_text = passages.WordRuns().feed(b"Then: PRESSURE for\n> two hours; it *woke* her!! Later")
    [(hashes, places)] = list(runs_of_text)
    note = b"Chest pain. Pressure for two hours. It woke her. She was pale."
    assert len(passages.find_shared(hashes, [note])) == 0  # seven words
    [(hashes, places)] = list(passages.WordRuns().feed(b"Then: chest pain; PRESSURE for\n> two hours; it *woke* her!!"))
    assert len(passages.find_shared(hashes, [note])) == 2
    assert places.tolist()[0] == 0


def test_runs_of_words_are_the_same_in_one_piece_and_in_many(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(f"word{n} and" for n in range(500)).encode()
    whole = [hash_ for hashes, _ in passages.WordRuns().feed(text) for hash_ in hashes.tolist()]
    monkeypatch.setattr(passages, "_PIECE", 97)
    pieces = list(passages.WordRuns().feed(text))
    assert [hash_ for hashes, _ in pieces for hash_ in hashes.tolist()] == whole
    assert len(pieces) > 20
    assert len(set(whole)) == 1000 - 7


def test_numbers_in_a_row_are_no_passage() -> None:
    text = b"1 2 3 4 5 6 7 8 9 10 11 12 one two"
    assert [hash_ for hashes, _ in passages.WordRuns().feed(text) for hash_ in hashes.tolist()] == []


def test_rows_ledgers_logs_records_and_exact_counts_of_credentialed_runs_are_refused(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 30, "mimic")
    (cohort / "00000.jsonl").write_text('{"origin": "mimic"}\n')
    (cohort / "run.log").write_text("fine\n")
    (cohort / "rows.dat").write_bytes(b"\1\2")
    (cohort / "wide.txt").write_bytes("10000032".encode("utf-16"))
    found = {finding.name: finding.reason for finding in check_path(cohort).findings}
    assert found["train.parquet"] == "rows of credentialed records, or of records whose origin is unknown"
    assert found["00000.jsonl"].startswith("a ledger")
    assert found["run.log"].startswith("a log")
    assert found["run.json"].startswith("a run's record")
    assert found["rows.dat"].startswith("content that cannot be inspected")
    assert found["wide.txt"] == "text that cannot be read as UTF-8"


@pytest.mark.parametrize("origin", ["mimic", "synthetic"])
def test_what_a_training_leaves_unlisted_is_refused_of_credentialed_rows_and_unchecked_of_unproven_ones(
    tmp_path: Path, origin: Origin
) -> None:
    run = run_of(tmp_path / "run", origin, "train grpo")
    hidden = (".plan.json", ".checkpoints/checkpoint-1/trainer_state.json", ".verl/log.txt", "notes.md")
    for name in (*hidden, "README.md", "card/figures.md", "model/README.md"):
        storage.write_text(run / name, "fine")
    with records.open_resumable_folder(
        run / "evaluation", records.plan_run("evaluate", options={}, inputs={}), origin
    ) as evaluation:
        for name in ("metrics.json", "report.md"):
            storage.write_text(evaluation.folder / name, "fine")
    report = check_path(run)
    refused = {finding.name: finding.reason for finding in report.findings}
    assert not report.may_leave
    counts = "exact counts or lists of `deepicd {}` on credentialed records"
    assert refused == (
        dict.fromkeys((*hidden, "model/README.md"), counts.format("train grpo"))
        | dict.fromkeys(("evaluation/metrics.json", "evaluation/report.md"), counts.format("evaluate"))
        | dict.fromkeys(
            ("run.json", "evaluation/run.json"),
            "a run's record, with its command line, paths of this machine and exact counts",
        )
        if origin == "mimic"
        else {}
    )


@pytest.mark.parametrize("name", ["a.safetensors", "A.SafeTensors", "a.h5", "a.msgpack", "a.PKL", "a.tflite"])
def test_weights_are_known_by_their_names_in_any_case(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("fine")
    assert [finding.reason for finding in check_path(tmp_path).findings] == [
        "weights, which can repeat their training data, of credentialed or unknown records"
    ]


def test_made_up_and_public_files_are_free_unless_changed(tmp_path: Path) -> None:
    assert check_path(write_cohort(tmp_path / "cohort", 30)).findings == []
    plan = records.plan_run("guidelines", options={}, inputs={})
    with records.open_fresh_folder(tmp_path / "public", plan, "public") as run:
        storage.write_text(run.folder / "chapter_01.json", '{"a": "20000019"}')
    assert check_path(tmp_path / "public").findings == []
    (tmp_path / "public" / "chapter_01.json").write_text('{"a": "20000020"}')
    [finding] = check_path(tmp_path / "public").findings
    assert (finding.name, finding.line, finding.reason) == ("chapter_01.json", 1, patterns.STAY)


def test_a_file_without_a_run_counts_as_credentialed(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("a\n\nsee 20000019\n")
    (tmp_path / "b.md").write_text("fine\n")
    [finding] = check_path(tmp_path).findings
    assert (finding.name, finding.line) == ("a.md", 3)


def test_a_name_may_give_a_patient_away_and_is_not_shown_either(tmp_path: Path) -> None:
    (tmp_path / "p10000032").mkdir()
    (tmp_path / "p10000032" / "a.md").write_text("fine\n")
    [finding] = check_path(tmp_path).findings
    assert (finding.name, finding.reason) == ("p########/a.md", f"its name has {patterns.SUBJECT}")


def test_words_of_the_notes_are_found_by_line_and_not_shown(deepicd: Deepicd, tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 30, "mimic")
    card = run_of(tmp_path / "card", "mimic") / "README.md"
    card.write_text(f"# A card\n\nfor example:\n\n> {NOTE[60:170].replace(' ', '  ')}\n")
    outcome = deepicd("check-disclosure", card, "--notes-from", cohort)
    assert outcome.code == 1
    assert f"README.md, line 6: {PASSAGE}" in outcome.out
    assert outcome.out.endswith("\nRefused: 1 file may not leave.\n")
    assert "woke her" not in outcome.out + outcome.err
    card.write_text("# A card\n\nNothing of a note.\n")
    assert deepicd("check-disclosure", card, "--notes-from", cohort).code == 0


def test_titles_of_icd_10_cm_are_no_passages(tmp_path: Path) -> None:
    title = "Symptoms, signs and abnormal clinical and laboratory findings, not elsewhere classified"
    note = f"Chief Complaint:\nBelongs to {title} (so the letter)."
    cohort = write_cohort(tmp_path / "cohort", 30, "mimic", notes=[note])
    card = run_of(tmp_path / "card", "mimic") / "README.md"
    card.write_text(f"| XVIII | {title} | 12 |\n")
    assert check_path(card, notes_from=cohort).findings == []
    card.write_text(f"| XVIII | Belongs to {title} | 12 |\n")
    assert [finding.reason for finding in check_path(card, notes_from=cohort).findings] == [PASSAGE]


def test_a_title_of_icd_10_cm_in_one_word_is_no_passage_and_a_passage_around_it_is(tmp_path: Path) -> None:
    glued = "HypertensiveHeartAndChronicKidneyDiseaseWithHeartFailure"
    note = f"Chief Complaint:\nwas told of{glued}butFeelsFineAtHome"
    cohort = write_cohort(tmp_path / "cohort", 30, "mimic", notes=[note])
    card = run_of(tmp_path / "card", "mimic") / "README.md"
    for text, reasons in (
        (f"one\n| {glued} | 12 |\n", []),
        (f"| {glued.lower()} | 12 |\n", []),
        (f"| {glued}butFeels | 12 |\n", [PASSAGE]),
        (f"| Of{glued} | 12 |\n", [PASSAGE]),
    ):
        card.write_text(text)
        assert [finding.reason for finding in check_path(card, notes_from=cohort).findings] == reasons, text


def test_words_in_json_are_found_behind_its_escapes(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 30, "mimic")
    storage.write_json(run_of(tmp_path / "card", "mimic") / "data.json", {"text": NOTE})
    assert PASSAGE in {
        finding.reason for finding in check_path(tmp_path / "card" / "data.json", notes_from=cohort).findings
    }


def test_a_dataset_folder_brings_its_own_notes(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 30, "mimic")
    (cohort / "README.md").write_text(NOTE)
    assert PASSAGE in {finding.reason for finding in check_path(cohort).findings if finding.name == "README.md"}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def picture(*extra: bytes, tail: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + body + chunk(b"IEND", b"") + tail


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (picture(chunk(b"tEXt", b"Title\0of 20000019")), patterns.STAY),
        (picture(chunk(b"zTXt", b"Title\0\0" + zlib.compress(b"of 20000019"))), patterns.STAY),
        (picture(chunk(b"iTXt", b"Title\0\1\0\0\0" + zlib.compress(b"of 20000019"))), patterns.STAY),
        (picture(tail=b"rows"), "not a PNG from its first byte to its last"),
        (b"GIF89a", "not a PNG from its first byte to its last"),
        (picture(chunk(b"tEXt", b"Title\0Chapters")), None),
    ],
)
def test_the_texts_of_a_picture_are_read(content: bytes, reason: str | None, tmp_path: Path) -> None:
    (tmp_path / "figure.png").write_bytes(content)
    assert [finding.reason for finding in check_path(tmp_path).findings] == ([reason] if reason else [])


def test_many_findings_are_counted_and_not_listed(deepicd: Deepicd, tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("hadm_id\n" + "".join(f"{20_000_000 + n}\n" for n in range(200_000)))
    outcome = deepicd("check-disclosure", tmp_path)
    assert outcome.code == 1
    assert len(outcome.out.splitlines()) < 30
    assert "or more findings; the rest was not read" in outcome.out


def test_a_folder_that_is_not_there_is_a_message(deepicd: Deepicd, tmp_path: Path) -> None:
    outcome = deepicd("check-disclosure", tmp_path / "absent")
    assert outcome.code == 1
    assert outcome.err.startswith("Error: There is no ")
