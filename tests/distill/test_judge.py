"""The judge: a score for each kept trace, by another family than the teacher's, resumable, compared with others."""

import json
from pathlib import Path

import pytest
from cohorts import rows_in, write_cohort
from conftest import Deepicd
from openai_server import MODEL, StandIn, answer, openai_server, status

from builders.dataset.assemble import AssembleOptions, assemble
from deepicd import records
from deepicd.changed_inputs import accept_changes
from deepicd.engines import ledger
from deepicd.errors import DeepicdError
from deepicd.knowledge import rubric
from distill import run
from distill.judge import CaseReader, JudgeJob, judge
from distill.judge_reliability import find_families
from distill.recipe import Recipe
from distill.sources import open_sources
from distill.verification.recipe import load_recipe as load_verify_recipe
from distill.verification.run import VerifyJob, verify

TEACHER = Recipe(name="test", engine="rehearsal", model="rehearsal")
JUDGE = Recipe(name="judge", engine="rehearsal", model="rehearsal", prompt=rubric.VERSION, guideline_text="relevant")


def written(folder: Path, rows: int = 40) -> tuple[Path, Path]:
    cohort = write_cohort(folder / "cohort", rows)
    run.distill(cohort, folder / "traces", TEACHER)
    return cohort, folder / "traces"


def by_server(stand_in: StandIn) -> Recipe:
    return JUDGE.replace(engine="openai_server", model=MODEL, base_url=stand_in.url, temperature=0.0, timeout=5.0)


def test_every_kept_trace_gets_a_score_and_the_dataset_has_it(tmp_path: Path) -> None:
    cohort, made = written(tmp_path)
    record = judge(JudgeJob(made, tmp_path / "scores", JUDGE))
    rows = rows_in(tmp_path / "scores" / JUDGE.digest / "scores")
    assert record.counts.scored == len(rows) == 40
    assert {row["score"] for row in rows} <= {1, 2, 3, 4, 5}
    assert record.notes == ["No model has read these traces: the scores are drawn by chance."]
    assemble(cohort, made, tmp_path / "dataset", AssembleOptions(scores=tmp_path / "scores"))
    given = {row["note_id"]: row["judge_score"] for row in rows_in(tmp_path / "dataset" / "traces")}
    assert given == {row["note_id"]: row["score"] for row in rows}


def test_a_run_that_kept_nothing_is_neither_judged_nor_verified(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path / "cohort", 20)
    with pytest.raises(DeepicdError, match="None of 20 rows"):
        run.distill(cohort, tmp_path / "traces", TEACHER.replace(min_words=9000, max_words=9001))
    with pytest.raises(DeepicdError, match="holds no kept trace"):
        judge(JudgeJob(tmp_path / "traces", tmp_path / "scores", JUDGE))
    with pytest.raises(DeepicdError, match="holds no kept trace"):
        verify(VerifyJob(tmp_path / "traces", tmp_path / "checked", load_verify_recipe(Path("rules"))))
    assert not (tmp_path / "scores").exists() and not (tmp_path / "checked").exists()


def test_scores_of_other_traces_are_refused(tmp_path: Path) -> None:
    cohort, made = written(tmp_path)
    judge(JudgeJob(made, tmp_path / "scores", JUDGE))
    run.distill(cohort, tmp_path / "others", TEACHER.replace(seed=7))
    with pytest.raises(DeepicdError, match="scores of other traces"):
        assemble(cohort, tmp_path / "others", tmp_path / "dataset", AssembleOptions(scores=tmp_path / "scores"))


def test_a_second_run_asks_nothing_and_a_killed_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, made = written(tmp_path)
    with openai_server() as stand_in:
        one_by_one = by_server(stand_in).replace(in_flight=1)
        stand_in.faults = [lambda handler: answer(stand_in, handler)] * 15 + [status(401)]
        with pytest.raises(DeepicdError, match="needs an API key"):
            judge(JudgeJob(made, tmp_path / "scores", one_by_one))
        assert len(stand_in.asked) == 16
        monkeypatch.setattr("deepicd.log.LINE_EVERY", 0.0)
        capsys.readouterr()
        record = judge(JudgeJob(made, tmp_path / "scores", one_by_one))
        assert record.counts.scores == {"4": 40}
        assert "scores: 25 of 25," in capsys.readouterr().err
        assert judge(JudgeJob(made, tmp_path / "scores", one_by_one)) == record
        assert len(stand_in.asked) == 41


def test_the_answer_is_asked_for_by_a_schema_and_never_by_a_regular_expression(tmp_path: Path) -> None:
    _, made = written(tmp_path, 10)
    with openai_server() as stand_in:
        judge(JudgeJob(made, tmp_path / "scores", by_server(stand_in)))
    body = stand_in.asked[0]
    assert body["response_format"]["json_schema"]["schema"]["properties"]["score"]["maximum"] == 5
    assert "guided_regex" not in json.dumps(body)
    assert body["temperature"] == 0.0
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    for part in ("# The code it closes on\nI21.4: ", "# Admission note\n", "# The line of thought\n"):
        assert part in body["messages"][1]["content"]


def test_an_answer_without_a_score_is_asked_for_again_and_then_counted(tmp_path: Path) -> None:
    _, made = written(tmp_path, 10)
    with openai_server() as stand_in:
        words = json.dumps({"choices": [{"message": {"content": "Good."}, "finish_reason": "stop"}]})
        stand_in.faults = [status(200, words), lambda handler: answer(stand_in, handler)] * 2 + [
            status(200, words)
        ] * 18
        record = judge(JudgeJob(made, tmp_path / "scores", by_server(stand_in).replace(in_flight=1, attempts=2)))
    assert record.counts.scored == 2
    assert record.counts.unscored == {"no score in the answer": 8}


def test_two_judges_are_compared(tmp_path: Path) -> None:
    _, made = written(tmp_path)
    judge(JudgeJob(made, tmp_path / "scores", JUDGE))
    assert not (tmp_path / "scores" / "agreement.json").exists()
    judge(JudgeJob(made, tmp_path / "scores", JUDGE.replace(seed=7)))
    [found] = json.loads((tmp_path / "scores" / "agreement.json").read_text())
    assert found["traces"] == 40
    assert -1 <= found["kappa"] <= 1
    cohort = tmp_path / "cohort"
    assemble(cohort, made, tmp_path / "dataset", AssembleOptions(scores=tmp_path / "scores"))
    means = [row["judge_score"] for row in rows_in(tmp_path / "dataset" / "traces")]
    assert any(mean % 1 == 0.5 for mean in means)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("Qwen/Qwen2.5-32B-Instruct", {"qwen"}),
        ("DeepICD-R1-zero-32B", {"qwen"}),
        ("meta-llama/Llama-3.3-70B-Instruct", {"llama"}),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", {"deepseek", "llama"}),
        ("mistralai/Mistral-Small-24B-Instruct-2501", {"mistral"}),
        ("/models/ours", set()),
    ],
)
def test_a_models_name_tells_its_family(model: str, expected: set[str]) -> None:
    assert find_families(model) == expected


def test_a_judge_of_the_teachers_family_is_refused_unless_allowed(tmp_path: Path) -> None:
    made = tmp_path / "traces"
    with openai_server() as stand_in:
        teacher = Recipe(name="test", engine="openai_server", model=MODEL, base_url=stand_in.url, timeout=5.0)
        run.distill(write_cohort(tmp_path / "cohort", 10), made, teacher)
        with pytest.raises(DeepicdError, match="is of the teacher's family"):
            judge(JudgeJob(made, tmp_path / "scores", by_server(stand_in)))
        record = judge(JudgeJob(made, tmp_path / "scores", by_server(stand_in), same_family=True))
    assert record.notes == ["The judge is of the teacher's own family."]


def test_a_cohort_that_changed_since_is_not_taken_silently(tmp_path: Path) -> None:
    cohort, made = written(tmp_path)
    write_cohort(cohort, 30)
    with pytest.raises(DeepicdError, match="has changed or is gone"):
        judge(JudgeJob(made, tmp_path / "scores", JUDGE))
    with pytest.raises(DeepicdError, match="descends from another cohort"):
        judge(JudgeJob(made, tmp_path / "scores", JUDGE, cohort=cohort))
    with accept_changes(), pytest.raises(DeepicdError, match="have no note in the cohort"):
        judge(JudgeJob(made, tmp_path / "scores", JUDGE, cohort=cohort))


def test_the_command_prints_how_the_scores_fall(tmp_path: Path, deepicd: Deepicd) -> None:
    _, made = written(tmp_path)
    outcome = deepicd("judge", made, tmp_path / "scores", "--recipe", "judge-rehearsal", "--seed", 3)
    assert outcome.code == 0
    assert outcome.out.startswith(
        "No model has read these traces: the scores are drawn by chance.\n40 traces scored, mean "
    )
    assert records.read(next((tmp_path / "scores").glob("*/run.json")).parent)


def test_scores_of_an_earlier_version_are_paid_for_once(tmp_path: Path) -> None:
    cohort, made = written(tmp_path, 10)
    with openai_server() as stand_in:
        recipe = by_server(stand_in)
        reader = CaseReader(recipe, made / TEACHER.digest, open_sources(cohort, None, None), None)
        with ledger.open_ledger(tmp_path / "scores", "synthetic") as book:
            for case in reader.read_cases():
                key = ledger.build_former_key(recipe, case.note_id, case.prompt_sha256)
                book.add_completion(key, {"text": '{"why": "It follows.", "score": 3}', "engine": "endpoint"})
        record = judge(JudgeJob(made, tmp_path / "scores", recipe))
        assert stand_in.asked == []
    assert record.counts.scores == {"3": 10}


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"why": "It follows.", "score": 2}', 2),
        ('<think>{"why", "score"}? Let {me} see {"score": 5}.</think>\n{"why": "Loose.", "score": 2}', 2),
        ('```json\n{"score": 2.0, "why": "A {brace} in it"}\n```\nTell me if {anything} is unclear.', 2),
        ('<|channel|>analysis<|message|>{a}<|end|><|channel|>final<|message|>{"why": "", "score": 2}', 2),
        ('{"result": {"why": "Nested.", "score": 2}}', 2),
        ('{"score": 2, "parts": {"score": 5}}', 2),
        ("2 of 5", None),
        ('{"score": 0}', None),
        ('{"score": 6}', None),
        ('{"score": 2.5}', None),
        ('{"score": true}', None),
        ('{"score": null}', None),
        ('<think>Perhaps {"score": 2}, but', None),
        ("{" * 100_000, None),
        ('{"a":' * 100_000, None),
    ],
)
def test_a_score_is_read_wherever_it_stands_and_never_made_up(text: str, score: int | None) -> None:
    found = rubric.parse_score(text)
    assert (found.value if found else None) == score


def test_a_judgement_without_any_score_is_an_error(tmp_path: Path) -> None:
    _, made = written(tmp_path, 10)
    words = json.dumps({"choices": [{"message": {"content": "Good."}, "finish_reason": "stop"}]})
    with (
        openai_server(always_chat=status(200, words)) as stand_in,
        pytest.raises(DeepicdError, match=r"No row was answered: no score in the answer \(10\)"),
    ):
        judge(JudgeJob(made, tmp_path / "scores", by_server(stand_in)))
    assert not list((tmp_path / "scores").glob("*/run.json"))


def test_a_prompt_over_the_judges_context_gets_no_score_and_is_counted(tmp_path: Path) -> None:
    _, made = written(tmp_path, rows=8)
    with openai_server() as stand_in, pytest.raises(DeepicdError, match=r"too long for the context \(9\)"):
        judge(JudgeJob(made, tmp_path / "none", by_server(stand_in).replace(context=300, max_tokens=256)))
    assert not stand_in.asked
