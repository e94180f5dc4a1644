"""Rollouts: several completions per row, all of them kept, and one of them chosen for the dataset."""

import json
from pathlib import Path
from typing import Any

import pytest
from cohorts import rows_in, write_cohort
from openai_server import MODEL, openai_server, status

from builders.dataset import selection
from builders.dataset.assemble import AssembleOptions, assemble
from cards.dataset_card import write_card
from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.kept_traces import read_kept_traces
from deepicd.knowledge import rubric
from deepicd.schema import FIRST_TRACES
from distill import run
from distill.judge import JudgeJob, judge
from distill.pilot import Share, run_pilot
from distill.recipe import Recipe

ONE = Recipe(name="test", engine="rehearsal", model="none", attempts=1)
FOUR = ONE.replace(rollouts=4)
JUDGE = Recipe(name="judge", engine="rehearsal", model="rehearsal", prompt=rubric.VERSION)


def completions(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for path in sorted((out / "ledger").glob("0*")) for line in path.open()]
    return [line for line in lines if line["kind"] == "completion"]


def test_every_rollout_is_kept_or_rejected_under_its_number(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 50)
    record = run.distill(cohort, tmp_path / "out", FOUR)
    folder = tmp_path / "out" / FOUR.digest
    kept, rejected = rows_in(folder / "kept"), rows_in(folder / "rejected")
    notes = [row["note_id"] for row in rows_in(cohort)]
    assert sorted((row["note_id"], row["rollout"]) for row in kept + rejected) == sorted(
        (note, rollout) for note in notes for rollout in (1, 2, 3, 4)
    )
    assert len({row["seed"] for row in kept}) == 4
    assert len({row["completion"] for row in kept}) > 150  # other seeds, other texts
    assert record.counts.attempts == 200
    assert sum(int(number) * rows for number, rows in record.counts.rollouts_kept.items()) == len(kept)
    assert sum(record.counts.kept.values()) == len({row["note_id"] for row in kept})


def test_more_rollouts_ask_only_for_those_that_are_new(tmp_path: Path) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 50), tmp_path / "out"
    run.distill(cohort, out, ONE)
    run.distill(cohort, out, FOUR)
    asked = completions(out)
    assert [line["rollout"] for line in asked[:50]] == [0] * 50
    assert sorted(line["rollout"] for line in asked[50:]) == [1] * 50 + [2] * 50 + [3] * 50
    assert len({line["key"] for line in asked}) == 200


def test_a_run_with_rollouts_that_was_stopped_ends_with_the_same_files(tmp_path: Path) -> None:
    cohort, recipe = write_cohort(tmp_path / "cohort", 30), FOUR.replace(attempts=2)
    whole = run.distill(cohort, tmp_path / "whole", recipe)
    run_pilot(run.Job(cohort, tmp_path / "resumed", recipe), Share(rows=17))
    pilot = len(completions(tmp_path / "resumed"))
    assert 17 <= pilot < 60
    assert run.distill(cohort, tmp_path / "resumed", recipe).outputs == whole.outputs
    assert len(completions(tmp_path / "resumed")) == len(completions(tmp_path / "whole"))


def test_a_rollout_without_an_answer_is_listed_and_asked_for_again(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 10)
    with openai_server() as server:
        recipe = FOUR.replace(engine="openai_server", model=MODEL, base_url=server.url, in_flight=1)
        server.faults = [status(400)] * 1
        record = run.distill(cohort, tmp_path / "out", recipe)
        rejected = rows_in(tmp_path / "out" / recipe.digest / "rejected")
        [missing] = [row for row in rejected if row["completion"] is None]
        assert (missing["rollout"], missing["rejected_for"]) == (1, ["no answer"])
        assert sum(record.counts.unanswered.values()) == 1
        assert run.distill(cohort, tmp_path / "out", recipe).counts.unanswered == {}


def test_equal_rollouts_are_refused() -> None:
    with pytest.raises(DeepicdError, match="at temperature 0 all rollouts of a row are the same"):
        FOUR.replace(temperature=0.0)


def test_the_dataset_has_the_judges_favourite_of_each_row(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 40)
    run.distill(cohort, tmp_path / "traces", FOUR)
    record = judge(JudgeJob(tmp_path / "traces", tmp_path / "scores", JUDGE))
    kept = rows_in(tmp_path / "traces" / FOUR.digest / "kept")
    assert record.counts.scored == len(kept) > 120
    assemble(cohort, tmp_path / "traces", tmp_path / "best", AssembleOptions(scores=tmp_path / "scores"))
    scores: dict[tuple[str, str], int] = {
        (row["note_id"], row["trace_sha256"]): row["score"] for row in rows_in(tmp_path / "scores")
    }
    for row in rows_in(tmp_path / "best" / "traces"):
        of_row = [score for (note_id, _), score in scores.items() if note_id == row["note_id"]]
        assert row["judge_score"] == max(of_row) == scores[row["note_id"], storage.digest_text(row["trace"])]
    assemble(cohort, tmp_path / "traces", tmp_path / "first", AssembleOptions(select="first"))
    first = {row["note_id"]: row["trace"] for row in rows_in(tmp_path / "first" / "traces")}
    assert first == {row["note_id"]: row["trace"] for row in reversed(kept)}
    write_card(tmp_path / "best")
    card = (tmp_path / "best" / "README.md").read_text()
    assert f"| rollouts | 4 per row, {len(kept)} kept; the dataset has one per row, chosen by `--select best` |" in card


def test_a_judge_scores_each_trace_once(tmp_path: Path) -> None:
    run.distill(write_cohort(tmp_path / "cohort", 20), tmp_path / "traces", ONE)
    with pytest.raises(DeepicdError, match="The judge's recipe asks for 2 rollouts"):
        judge(JudgeJob(tmp_path / "traces", tmp_path / "scores", JUDGE.replace(rollouts=2)))


TRACE = dict.fromkeys(selection.COLUMNS, 0) | {"judge_score": None, "rollout": 1}


@pytest.mark.parametrize(
    ("rule", "second", "expected"),
    [
        ("first", {"judge_score": 5.0, "numbers": 2, "numbers_in_note": 2}, 1),
        ("checks", {"numbers": 2, "numbers_in_note": 1}, 2),  # cites the note
        ("checks", {"repeated": 0.1}, 1),
        ("best", {"judge_score": 2.5, "repeated": 0.1}, 2),
        ("best", {}, 1),  # alike: the first
    ],
)
def test_a_rule_chooses_between_two_traces(rule: str, second: dict[str, float], expected: int) -> None:
    choice = selection.choose(rule, [TRACE | {"rollout": 2} | second, TRACE])
    assert choice and choice[0]["rollout"] == expected


def test_traces_of_earlier_versions_have_one_rollout(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 20)
    run.distill(cohort, tmp_path / "traces", ONE)
    for path in (tmp_path / "traces" / ONE.digest / "kept").glob("*.parquet"):
        storage.write_parquet(path, storage.read_table(path, FIRST_TRACES), FIRST_TRACES, "synthetic")
    rows = list(read_kept_traces(tmp_path / "traces" / ONE.digest, "train", ["note_id"]))
    assert {row["rollout"] for row in rows} == {1}
