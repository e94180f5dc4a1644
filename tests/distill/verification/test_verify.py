"""`deepicd verify` on made-up stays: rows, questions, verdicts, and what is asked again."""

import json
from pathlib import Path
from typing import Any

import pytest
from cohorts import rows_in
from conftest import Deepicd
from copies import discharge, note, stay, write_copy
from openai_server import MODEL, openai_server

from builders.cohort.build import build
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.outcome import read_outcomes
from deepicd.schema import VERIFIED
from deepicd.stage_records import VerifyRecord
from distill.recipe import Recipe
from distill.run import distill
from distill.verification.questions import MASK, Point, ask_for_grades, ask_for_points, parse_code
from distill.verification.recipe import VerifyRecipe, list_recipes, load_recipe
from distill.verification.rows import HINTS, UNREAD, find_reasons, measure_level
from distill.verification.run import VerifyJob, verify

REHEARSAL = load_recipe(Path("rehearsal"))
COURSE = (
    "# Pulmonary embolism: heparin, then apixaban.\n\n# Pneumonia: ruled out by CT, which shows a secretword opacity."
)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cohort of thirty stays and rehearsed traces, two rollouts each."""
    folder = tmp_path_factory.mktemp("verify")
    stays = range(20000001, 20000031)
    diagnoses = [row for hadm_id in stays for row in stay(hadm_id, [(1, "J189"), (2, "I2699")])]
    text = note("Cough", "A cough for two days. She is pale and denies fever. It began after a long flight.")
    text = text.replace("Hospital Course:\nLEAK", f"Hospital Course:\n{COURSE}")
    copy = write_copy(folder / "copy", diagnoses, [discharge(hadm_id, text) for hadm_id in stays])
    build(copy, copy, folder / "cohort")
    distill(
        folder / "cohort",
        folder / "traces",
        Recipe(name="t", engine="rehearsal", model="none", rollouts=2),
        rehearse=True,
    )
    return folder


def rows_of(out: Path) -> list[dict[str, Any]]:
    return rows_in(next(out.glob("*/verified")))


def test_each_kept_trace_gets_a_row_with_what_every_check_found(outputs: Path, tmp_path: Path) -> None:
    record = verify(VerifyJob(outputs / "traces", tmp_path / "out", REHEARSAL, rehearse=True))
    rows = rows_of(tmp_path / "out")
    kept = rows_in(next((outputs / "traces").glob("*/kept")))
    assert {(row["note_id"], row["rollout"], row["trace_sha256"]) for row in rows} == {
        (row["note_id"], row["rollout"], storage.digest_text(row["trace"])) for row in kept
    }
    for row in rows:
        assert row["trace_level"] == measure_level(Code(row["from_trace"]), Code("J189"))
        assert row["lift"] == pytest.approx(row["trace_level"] - row["note_level"])
        assert len(row["from_note"]) == 2
        assert 3 <= len(row["points"]) <= 7
        assert row["met"] == pytest.approx(sum(one["is_met"] for one in row["points"]) / len(row["points"]))
        assert row["nameable"] == 1
    assert sum(record.counts.traces.values()) == len(rows) > 40
    assert len({json.dumps([one["question"] for one in row["points"]]) for row in rows}) == 1  # one stay, one set


def test_rules_alone_start_no_engine_and_are_the_same_bytes_again(outputs: Path, tmp_path: Path) -> None:
    rules = load_recipe(Path("rules"))
    first = verify(VerifyJob(outputs / "traces", tmp_path / "one", rules))  # credentialed rows, and no --rehearse
    again = verify(VerifyJob(outputs / "traces", tmp_path / "two", rules))
    assert first.outputs == again.outputs
    assert first.outputs
    assert verify(VerifyJob(outputs / "traces", tmp_path / "one", rules)) == first
    assert not list((tmp_path / "one" / "ledger").glob("0*.jsonl"))
    [row, *_] = rows_of(tmp_path / "one")
    assert (row["from_trace"], row["points"], row["verifier"]) == (None, None, None)


def test_no_column_has_words_of_the_outcome_beside_the_questions(outputs: Path, tmp_path: Path) -> None:
    verify(VerifyJob(outputs / "traces", tmp_path / "out", REHEARSAL, rehearse=True))
    told = next(read_outcomes(outputs / "cohort", "train", reader="verify")).reveal()
    assert "secretword" in told
    for row in rows_of(tmp_path / "out"):
        assert "secretword" not in str(row | {"points": None})


def test_an_engine_without_a_model_is_refused_on_credentialed_traces(outputs: Path, tmp_path: Path) -> None:
    with pytest.raises(DeepicdError, match="is not a language model, and these rows are credentialed"):
        verify(VerifyJob(outputs / "traces", tmp_path / "out", REHEARSAL))


def test_what_the_ledger_has_is_not_asked_again(outputs: Path, tmp_path: Path) -> None:
    verify(VerifyJob(outputs / "traces", tmp_path / "out", REHEARSAL, rehearse=True))
    size = sum(path.stat().st_size for path in (tmp_path / "out" / "ledger").iterdir())
    strict = REHEARSAL.replace(least_answer="code")
    record = verify(VerifyJob(outputs / "traces", tmp_path / "out", strict, rehearse=True))
    assert sum(path.stat().st_size for path in (tmp_path / "out" / "ledger").iterdir()) == size
    assert record.counts.reasons["does not lead to the diagnosis"] > 0
    assert len(list((tmp_path / "out").glob("*/run.json"))) == 2


def test_a_quotation_that_is_not_there_makes_no_point() -> None:
    points = ask_for_points(REHEARSAL, "n", "CT: a  Pulmonary\nembolism in both lungs. Given heparin, apixaban.")
    answer = [
        {"question": "Does it weigh an embolism?", "quotation": "a pulmonary embolism"},
        {"question": "Does it expect heparin?", "quotation": "Given heparin"},
        {"question": "Does it expect anticoagulation?", "quotation": "heparin, apixaban."},
        {"question": "Does it expect surgery?", "quotation": "She was operated on."},
        {"question": "Does it?", "quotation": "CT"},
    ]
    found = points.parse(f"<think>Points.</think> {json.dumps({'points': answer})}")
    assert found is not None
    assert [point.question for point in found] == [entry["question"] for entry in answer[:3]]
    assert points.parse(json.dumps({"points": answer[1:]})) is None  # two are left, and three are needed
    assert points.parse('{"points": "none"}') is None


def test_grades_are_read_for_every_point_or_not_at_all() -> None:
    question = ask_for_grades(REHEARSAL, "n", [Point("Does it?", "…"), Point("Is it?", "…")], "Trace.")
    assert question.parse('Well. {"met": [true, false]}') == [True, False]
    assert [question.parse(text) for text in ('{"met": [true]}', '{"met": ["yes", "no"]}', "[true, false]", "")] == [
        None
    ] * 4


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("<think>Crackles.</think><diagnosis>I5021</diagnosis>", "I5021"),
        ("Crackles. <diagnosis>**I50.21**</diagnosis>", "I5021"),
        ("<think>Not <diagnosis>J189</diagnosis></think><diagnosis>I5021</diagnosis>", "I5021"),
        ("<think><diagnosis>I5021</diagnosis>", "I5021"),
        ("I50.21", None),
        ("<diagnosis>none</diagnosis>", None),
    ],
)
def test_a_solvers_code_is_read_from_its_diagnosis_alone(text: str, code: str | None) -> None:
    found = parse_code(text)
    assert (found.value if found else None) == code


@pytest.mark.parametrize(
    ("found", "reasons"),
    [
        ({}, []),
        ({"trace_level": 0}, ["does not lead to the diagnosis"]),
        ({"trace_level": 2, "note_level": 2.0, "lift": 0.0}, ["adds nothing to the note"]),
        ({"trace_level": 3, "note_level": 3.0, "lift": 0.0}, []),  # the note gives it already
        ({"confirmed": 3, "refuted": 1}, []),
        ({"confirmed": 2, "refuted": 1}, ["refuted by the outcome"]),
        ({"confirmed": 0, "refuted": 0}, []),
        ({"met": 0.4}, ["misses points of its stay"]),
        ({"from_note": [None], "trace_level": 2}, ["lacks an answer that can be read"]),
        ({"points": [{"question": "Does it?", "is_met": None}]}, ["lacks an answer that can be read"]),
    ],
)
def test_thresholds_are_the_recipes_and_what_was_not_asked_fails_no_trace(
    found: dict[str, Any], reasons: list[str]
) -> None:
    recipe = VerifyRecipe(engine="rehearsal", model="none", needs_lift=True)
    assert find_reasons(dict.fromkeys(VERIFIED.names) | found, recipe) == reasons
    assert set(reasons) <= HINTS.keys() | {UNREAD}


def test_no_trace_is_verified_by_answers_that_cannot_be_read(outputs: Path, tmp_path: Path) -> None:
    with openai_server() as server:
        recipe = VerifyRecipe(engine="openai_server", model=MODEL, base_url=server.url, attempts=1)
        counts = verify(VerifyJob(outputs / "traces", tmp_path / "out", recipe, limit=2)).counts
    traces = sum(counts.traces.values())
    assert (traces > 0, sum(counts.verified.values()), counts.reasons[UNREAD]) == (True, 0, traces)
    assert counts.unread == {"points of the stay": traces}
    with pytest.raises(DeepicdError, match="points_least is 8 and points_most 7"):
        REHEARSAL.replace(points_least=8)


def test_hints_name_nothing_of_a_stay() -> None:
    assert all("code" not in hint and MASK not in hint and "outcome" not in hint for hint in HINTS.values())


def test_the_command_says_what_was_verified_and_why_the_rest_was_not(
    outputs: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    done = deepicd("verify", outputs / "traces", tmp_path / "out", "--recipe", "rehearsal", "--rehearse")
    assert done.code == 0, done.err
    assert done.out.startswith("No language model answered")
    assert "traces verified" in done.out
    assert "answers from trace:" in done.out
    assert "points of the stay met:" in done.out
    assert records.require(next(path.parent for path in (tmp_path / "out").glob("*/run.json")), VerifyRecord)
    lost = deepicd("verify", outputs / "traces", tmp_path / "other")
    assert (lost.code, "rules (rehearsal)" in lost.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--engine", "vllm"), "engine would"),
        (("--base-url", "http://127.0.0.1:9/v1"), "engine, base_url would"),
        (("--model", "no/such", "--set", "temperature=0.3"), "model, temperature would"),
        (("--seed", 7), "seed would"),
    ],
)
def test_options_of_a_model_are_refused_where_no_check_asks_one(
    outputs: Path, tmp_path: Path, deepicd: Deepicd, options: tuple[object, ...], what: str
) -> None:
    done = deepicd("verify", outputs / "traces", tmp_path / "out", "--recipe", "rules", *options)
    assert done.code == 1
    assert f"(borne out, weighing) ask no model, and {what} change nothing" in done.err
    assert "a check that asks a model (untouched, answer, rubric)" in done.err
    assert not (tmp_path / "out").exists()


def test_rules_take_the_thresholds_that_they_use(outputs: Path, tmp_path: Path, deepicd: Deepicd) -> None:
    command = ("verify", outputs / "traces", tmp_path / "out", "--recipe", "rules", "--set", "most_refuted=0.5")
    assert deepicd(*command).code == 0


def test_the_recipes_of_this_package_parse() -> None:
    assert list_recipes() == {"rehearsal": "rehearsal", "rules": "rehearsal", "verify": "vllm"}
    with pytest.raises(DeepicdError, match="names no check"):
        REHEARSAL.replace(checks=[])
