"""Distillation: every row of the cohort is kept once or rejected with its reasons, and nothing is asked for twice."""

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cohorts import NOTE, rows_in, write_cohort
from conftest import Deepicd
from openai_server import MODEL, openai_server

from deepicd import __version__, storage
from deepicd.engines import ledger
from deepicd.engines.tokens import TokenCounter
from deepicd.errors import DeepicdError
from deepicd.knowledge.code_knowledge import Knowledge
from deepicd.schema import DESCRIPTIONS
from distill import run
from distill.prompt_builder import PromptBuilder
from distill.recipe import Recipe

RECIPE = Recipe(name="test", engine="rehearsal", model="none")
ONCE = RECIPE.replace(attempts=1)


def completions(out: Path) -> list[dict[str, Any]]:
    """Every answer in a ledger, in the order it came."""
    lines = [json.loads(line) for path in sorted((out / "ledger").iterdir()) for line in path.read_bytes().splitlines()]
    return [line for line in lines if line["kind"] == "completion"]


def test_every_row_ends_kept_or_rejected_and_says_who_wrote_it(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort")
    record = run.distill(cohort, tmp_path / "out", ONCE)
    folder = tmp_path / "out" / ONCE.digest
    kept, rejected = rows_in(folder / "kept"), rows_in(folder / "rejected")
    wanted = sorted(row["note_id"] for row in rows_in(cohort))
    assert sorted(row["note_id"] for row in kept + rejected) == wanted
    assert {(row["engine"], row["engine_version"]) for row in kept + rejected} == {("rehearsal", __version__)}
    assert all(row["trace"] and not row["rejected_for"] for row in kept)
    assert all(row["completion"] and row["rejected_for"] for row in rejected)
    assert set(record.counts.reasons) == {"form", "cut off", "wrong code"}  # the faults made on purpose
    assert sum(record.counts.kept.values()) == len(kept)
    assert record.counts.without_description == len(wanted)


def test_a_rejected_row_is_tried_again_and_each_attempt_stays_with_its_reason(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort")
    record = run.distill(cohort, tmp_path / "out", RECIPE)
    folder = tmp_path / "out" / RECIPE.digest
    kept, rejected = rows_in(folder / "kept"), rows_in(folder / "rejected")
    assert len(kept) == 300
    assert all(row["row_kept"] and row["rejected_for"] and row["completion"] for row in rejected)
    assert len(rejected) == record.counts.attempts - 300 > 5
    second = [row for row in kept if row["attempt"] == 2]
    assert {row["seed"] for row in second} == {RECIPE.derive_seed(1)}
    assert {row["note_id"] for row in second} <= {row["note_id"] for row in rejected}
    assert {row["attempts"] for row in second} == {2}


def test_a_row_tells_all_that_it_was_made_with(tmp_path: Path) -> None:
    run.distill(write_cohort(tmp_path / "cohort", 20), tmp_path / "out", RECIPE)
    row = rows_in(tmp_path / "out" / RECIPE.digest / "kept")[0]
    assert row["note_sha256"] == sha256(NOTE.encode()).hexdigest()
    assert (row["recipe_digest"], row["prompt"], row["layout"]) == (RECIPE.digest, "oracle-2", "prefix")
    assert (row["temperature"], row["top_p"], row["top_k"], row["max_tokens"], row["seed"]) == (0.9, 1.0, 0, 1024, 42)
    assert (row["checks"], row["quotes_in_note"], row["description_code"]) == ("checks-2", row["quotes"], None)
    assert row["verbatim"] >= 3


def test_a_trace_quotes_the_note_and_names_the_diagnosis_last(tmp_path: Path) -> None:
    run.distill(write_cohort(tmp_path / "cohort", 50), tmp_path / "out", RECIPE)
    for row in rows_in(tmp_path / "out" / RECIPE.digest / "kept"):
        assert "“Chest pain”" in row["trace"]
        assert row["trace"].index("Non-ST elevation (NSTEMI) myocardial infarction") > 0.8 * len(row["trace"])
        assert "I214" not in row["trace"]


def test_the_same_recipe_gives_the_same_bytes_and_another_its_own_folder(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort")
    outputs = [run.distill(cohort, tmp_path / out, RECIPE).outputs for out in ("one", "two")]
    assert outputs[0] == outputs[1]
    other = RECIPE.replace(seed=7)
    run.distill(cohort, tmp_path / "one", other)
    folders = {path.name for path in (tmp_path / "one").iterdir()}
    assert folders == {RECIPE.digest, other.digest, "ledger", "progress"}


def test_a_changed_recipe_asks_only_for_what_it_asks_otherwise(tmp_path: Path) -> None:
    cohort, out = write_cohort(tmp_path / "cohort"), tmp_path / "out"
    words = run.distill(cohort, out, RECIPE).counts.words
    before = completions(out)
    stricter = RECIPE.replace(min_words=round(words["mean"]), name="stricter")
    record = run.distill(cohort, out, stricter)
    assert record.counts.attempts_rejected_for["too short"] > 5
    new = completions(out)[len(before) :]
    assert new and all(line["attempt"] > 0 for line in new)  # further attempts; no first one is asked for again
    run.distill(cohort, out, RECIPE.replace(max_tokens=512))
    assert sum(line["attempt"] == 0 for line in completions(out)) == 600


def test_a_finished_run_is_not_repeated(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort")
    first = run.distill(cohort, tmp_path / "out", RECIPE)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert run.distill(cohort, tmp_path / "out", RECIPE) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_traces_of_another_cohort_are_not_written_over_unless_asked(tmp_path: Path) -> None:
    write_cohort(tmp_path / "cohort", 300)
    run.distill(tmp_path / "cohort", tmp_path / "out", RECIPE)
    folder = tmp_path / "out" / RECIPE.digest
    before, asked = (folder / "kept" / "train-00000.parquet").read_bytes(), len(completions(tmp_path / "out"))
    write_cohort(tmp_path / "cohort", 200)  # the same first rows, fewer of them
    with pytest.raises(DeepicdError, match="already holds another run: input cohort differs"):
        run.distill(tmp_path / "cohort", tmp_path / "out", RECIPE)
    assert (folder / "kept" / "train-00000.parquet").read_bytes() == before
    run.distill(tmp_path / "cohort", tmp_path / "out", RECIPE, overwrite=True)
    assert len(completions(tmp_path / "out")) == asked  # these rows' prompts are unchanged
    wanted = sorted(row["note_id"] for row in rows_in(tmp_path / "cohort"))
    assert sorted(row["note_id"] for row in rows_in(folder / "kept")) == wanted


def test_a_smaller_limit_loses_no_row_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    cohort, kept = write_cohort(tmp_path / "cohort", 300), tmp_path / "out" / RECIPE.digest / "kept"
    run.distill(cohort, tmp_path / "out", RECIPE, limit=20)
    assert len(rows_in(kept)) == 60
    run.distill(cohort, tmp_path / "out", RECIPE)
    assert len(rows_in(kept)) == 300
    assert sum(run.distill(cohort, tmp_path / "out", RECIPE, limit=5).counts.kept.values()) == 300
    assert len(rows_in(kept)) == 300


def test_removed_files_are_written_again_without_asking(tmp_path: Path) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 50), tmp_path / "out"
    first = run.distill(cohort, out, RECIPE)
    asked = len(completions(out))
    shutil.rmtree(out / RECIPE.digest)
    assert run.distill(cohort, out, RECIPE).outputs == first.outputs
    assert len(completions(out)) == asked


def test_a_second_process_on_a_folder_is_refused(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 50)
    with (
        ledger.open_ledger(tmp_path / "out", "synthetic"),
        pytest.raises(DeepicdError, match="Another process is writing"),
    ):
        run.distill(cohort, tmp_path / "out", RECIPE)


def test_a_row_without_a_note_or_with_too_long_a_one_is_listed_with_its_reason(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 20, notes=["", "word " * 40_000])
    record = run.distill(cohort, tmp_path / "out", RECIPE)
    rejected = rows_in(tmp_path / "out" / RECIPE.digest / "rejected")
    assert [row["rejected_for"] for row in rejected if row["completion"] is None] == [
        ["no note"],
        ["too long for the context"],
    ]
    assert (record.counts.no_note, record.counts.too_long_for_the_context) == (1, 1)


def test_the_teacher_is_shown_a_description_and_the_row_says_whose(tmp_path: Path) -> None:
    page = {"code": "I21.4", "language": "de", "outcome": "described", "text": "Ihr Herz bekam zu wenig Blut."}
    row: dict[str, Any] = dict.fromkeys(DESCRIPTIONS.names) | page
    storage.write_parquet(tmp_path / "descriptions.parquet", [row], DESCRIPTIONS, "public")
    cohort = write_cohort(tmp_path / "cohort", 20)
    record = run.distill(cohort, tmp_path / "out", RECIPE, descriptions=tmp_path / "descriptions.parquet")
    assert {row["description_code"] for row in rows_in(tmp_path / "out")} == {"I21.4"}
    assert record.counts.without_description == 0


def test_traces_of_credentialed_notes_are_credentialed(tmp_path: Path) -> None:
    record = run.distill(write_cohort(tmp_path / "cohort", 20, "mimic"), tmp_path / "out", RECIPE, rehearse=True)
    assert record.origin == "mimic"
    assert {storage.read_origin(path) for path in (tmp_path / "out").rglob("*.parquet")} == {"mimic"}


def test_limit_takes_the_first_rows_of_each_split(tmp_path: Path) -> None:
    run.distill(write_cohort(tmp_path / "cohort"), tmp_path / "out", RECIPE, limit=5)
    assert len(rows_in(tmp_path / "out" / RECIPE.digest / "kept")) == 15


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("engine", "There is no engine 'oracle'"),
        ("prompt", "The recipe asks for the prompt 'other'"),
        ("cohort", "holds no finished run"),
        ("guidelines", "Make the guidelines first"),
        ("empty guidelines", r"holds no chapter_01\.json"),
        ("descriptions", "There is no file"),
    ],
)
def test_a_set_up_that_cannot_work_is_an_error_at_once(tmp_path: Path, what: str, message: str) -> None:
    cohort = write_cohort(tmp_path / "cohort", 20)
    recipe = RECIPE.replace(**{"engine": {"engine": "oracle"}, "prompt": {"prompt": "other"}}.get(what, {}))
    (tmp_path / "empty").mkdir()
    guidelines = {"guidelines": tmp_path / "absent", "empty guidelines": tmp_path / "empty"}.get(what)
    descriptions = tmp_path / "absent.parquet" if what == "descriptions" else None
    source = tmp_path / "absent" if what == "cohort" else cohort
    with pytest.raises(DeepicdError, match=message):
        run.distill(source, tmp_path / "out", recipe, guidelines=guidelines, descriptions=descriptions)
    assert not (tmp_path / "out").exists()


def test_a_ledger_of_an_earlier_version_is_paid_for_once(tmp_path: Path) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 30), tmp_path / "out"
    with openai_server() as stand_in:
        recipe = Recipe(name="test", engine="endpoint", model=MODEL, base_url=stand_in.url, timeout=5.0)
        builder = PromptBuilder(recipe, Knowledge(None, None).read(), TokenCounter())
        text = stand_in.completion({"messages": [{"content": "Write the code as I214."}]})["choices"][0]["message"]
        entry = dict.fromkeys(("prompt_tokens", "completion_tokens", "cached_tokens", "seconds"))
        entry |= {"text": text["content"], "finish_reason": "stop", "attempt": 0, "seed": 42}
        entry |= {"engine": "endpoint", "engine_version": "vllm 0.27.1"}
        with ledger.open_ledger(out, "synthetic") as book:
            for row in rows_in(cohort):
                prompt = builder.build(row)
                assert not isinstance(prompt, str)
                key, former_key = builder.build_keys(prompt, 0)
                assert key != former_key
                book.add_completion(former_key, entry)
        record = run.distill(cohort, out, recipe)
        assert stand_in.asked == []
    assert record.counts.engines == {"endpoint vllm 0.27.1": 30}
    assert sum(record.counts.kept.values()) == 30
    measured = [path for path in (out / "ledger").iterdir() if b'"findings"' in path.read_bytes()]
    assert len(measured) == 1
    run.distill(cohort, out, recipe.replace(min_words=32))  # another threshold: nothing is asked or measured again
    assert [path for path in (out / "ledger").iterdir() if b'"findings"' in path.read_bytes()] == measured


def test_a_run_that_keeps_no_trace_ends_with_an_error_that_counts_the_reasons(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 20), tmp_path / "out"
    arguments = ("distill", cohort, out, "--recipe", "rehearsal", "--set", "min_words=882", "--set", "attempts=1")
    first = deepicd(*arguments)
    assert first.code == 1
    assert "None of 20 rows has a trace that was kept; of 20 attempts all were rejected." in first.err
    assert "too short (" in first.err and "/rejected" in first.err
    asked = len(completions(out))
    assert len(rows_in(next(out.glob("*/rejected")))) == asked == 20
    assert (deepicd(*arguments).code, len(completions(out))) == (1, asked)
    assert deepicd("distill", cohort, out, "--recipe", "rehearsal").code == 0  # with other thresholds they are kept
