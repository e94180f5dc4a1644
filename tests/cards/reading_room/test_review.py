"""A review: drawn once, stored form by form, summed up; and carried to other programs and back."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from conftest import Deepicd
from reading_room_example import read_examples, write_example, write_traces

from cards.reading_room.folders import find_inputs
from cards.reading_room.pages import Pages
from cards.reading_room.review.assignment import read_review
from cards.reading_room.review.form import ReviewLinks, build_review_app, open_forms
from cards.reading_room.review.ratings import Rating, Ratings, read_all_ratings
from cards.reading_room.review.rubric import Rubric, load_rubric
from cards.reading_room.review.summary import measure_alpha, measure_interval, summarize_review
from cards.reading_room.rows import open_rows
from cards.reading_room.server import Address
from deepicd.errors import DeepicdError

GOOD = {
    "premature_closure": "no", "severity_missed": "no", "hallucination": "no", "linkage": "4", "concision": "5",
    "overall": "4", "comment": "clear",
}  # fmt: skip
BAD = GOOD | {"hallucination": "yes", "overall": "1"}


def start(deepicd: Deepicd, folder: Path, *options: object) -> Path:
    out = folder / "review"
    outcome = deepicd("review", "start", folder, out, "--reviewers", "ana,ben", *options)
    assert outcome.code == 0, outcome.err
    return out


def rate(out: Path, reviewer: str, answers: dict[str, str], forms: int | None = None) -> None:
    """Store the same answers in the first forms of a reviewer."""
    review, _ = read_review(out)
    own = Ratings(out, reviewer)
    for step in review.steps[reviewer][:forms]:
        sha256 = review.items[step.item].traces[step.trace].sha256
        own.save(
            Rating(
                origin="synthetic", reviewer=reviewer, item=step.item, trace=step.trace, sha256=sha256,
                answers=review.rubric.parse_answers(answers), preferred=0 if step.label == "B" else None,
            )
        )  # fmt: skip


def serve_forms(out: Path, reviewer: str) -> Iterator[httpx.Client]:
    from reading_room_server import serve_app

    review, record = read_review(out)
    forms = open_forms(Pages(open_rows(find_inputs(record)), ReviewLinks(), "review"), review, out, reviewer)
    with serve_app(lambda address: build_review_app(forms, address)) as address:
        base = f"http://127.0.0.1:{address.port}"
        with httpx.Client(base_url=base, trust_env=False, headers={"Origin": base}) as client:
            client.get("/", params={"token": address.token})
            yield client


def test_every_reviewer_has_the_shared_items_and_the_others_are_divided(deepicd: Deepicd, tmp_path: Path) -> None:
    out = start(deepicd, write_example(tmp_path, copies=5), "--rows", 12, "--overlap", 4)
    review, _ = read_review(out)
    own = {name: [step.item for step in steps] for name, steps in review.steps.items()}
    assert len(review.items) == 12
    assert set(own["ana"]) & set(own["ben"]) == {0, 1, 2, 3}
    assert set(own["ana"]) | set(own["ben"]) == set(range(12))
    assert own["ana"] != sorted(own["ana"])  # an order of their own


def test_drawing_again_changes_nothing_and_another_draw_needs_another_folder(deepicd: Deepicd, tmp_path: Path) -> None:
    out = start(deepicd, write_example(tmp_path, copies=5))
    before = (out / "review.json").read_bytes()
    rate(out, "ana", GOOD, 1)
    start(deepicd, tmp_path)
    assert (out / "review.json").read_bytes() == before
    outcome = deepicd("review", "start", tmp_path, out, "--reviewers", "ana,ben", "--seed", 7)
    assert (outcome.code, "already holds another run" in outcome.err) == (1, True)
    assert len(read_all_ratings(out)) == 1


def test_a_form_is_stored_at_once_and_the_next_visit_goes_on(deepicd: Deepicd, tmp_path: Path) -> None:
    out = start(deepicd, write_example(tmp_path))
    for client in serve_forms(out, "ana"):
        answer = client.post("/forms/1", data=GOOD)
        assert (answer.status_code, answer.headers["location"]) == (303, "/forms/2")
        (rating,) = read_all_ratings(out)
        assert (rating.answers["overall"], rating.answers["comment"]) == (4, "clear")
    for client in serve_forms(out, "ana"):
        assert 'href="/forms/2">Go on with form 2' in client.get("/").text
        assert re.search(r'name="overall" value="4" required checked', client.get("/forms/1").text)
        client.post("/forms/1", data=GOOD | {"overall": "2"})
        assert [rating.answers["overall"] for rating in read_all_ratings(out)] == [2]


@pytest.mark.parametrize(
    "change", [{"overall": "6"}, {"overall": ""}, {"hallucination": "perhaps"}, {"comment": "x" * 4001}]
)
def test_a_form_with_a_missing_or_unknown_answer_is_shown_again_and_not_stored(
    deepicd: Deepicd, tmp_path: Path, change: dict[str, str]
) -> None:
    out = start(deepicd, write_example(tmp_path))
    for client in serve_forms(out, "ana"):
        answer = client.post("/forms/1", data=GOOD | change)
        assert (answer.status_code, "Nothing was stored" in answer.text) == (422, True)
        assert re.search(r'name="concision" value="5" required checked', answer.text)
    assert read_all_ratings(out) == []


def test_a_reviewer_does_not_see_who_wrote_a_trace_nor_how_it_was_judged(deepicd: Deepicd, tmp_path: Path) -> None:
    out = start(deepicd, write_example(tmp_path, teacher="the secret teacher"))
    for client in serve_forms(out, "ana"):
        for number in range(1, 5):
            page = client.get(f"/forms/{number}").text
            assert "by hand" not in page
            assert "secret" not in page
            assert "rejected" not in page


def test_two_teachers_are_a_and_b_by_lot_and_one_is_preferred(deepicd: Deepicd, tmp_path: Path) -> None:
    folder = write_example(tmp_path, copies=5)
    examples = [example | {"trace": example["trace"] + " More."} for _ in range(5) for example in read_examples()]
    write_traces(folder / "traces" / ("f" * 12), folder / "cohort", examples, "synthetic", "another")
    out = start(deepicd, folder, "--pairs", "--rows", 20, "--overlap", 20)
    review, _ = read_review(out)
    assert {len(item.traces) for item in review.items} == {2}
    first = [step.trace for step in review.steps["ana"] if step.label == "A"]
    assert {0, 1} == set(first)
    for client in serve_forms(out, "ana"):
        assert "Which of the two is better?" not in client.get("/forms/1").text
        assert "Which of the two is better?" in client.get("/forms/2").text
        assert client.post("/forms/2", data=GOOD).status_code == 422
        client.post("/forms/2", data=GOOD | {"preferred": "A"})
        (rating,) = read_all_ratings(out)
        assert rating.preferred == review.steps["ana"][0].trace
    rate(out, "ana", GOOD)
    summary = summarize_review(out, {})
    assert summary.preference is not None
    assert list(summary.preference.items.values()) == [20, 0, 0]
    assert summary.preference.share == 1.0


def test_summary_measures_agreement_and_what_the_judge_let_pass(deepicd: Deepicd, tmp_path: Path) -> None:
    out = start(deepicd, write_example(tmp_path))
    rate(out, "ana", GOOD)
    rate(out, "ana", BAD, 1)
    rate(out, "ben", GOOD)
    review, _ = read_review(out)
    wrong = review.steps["ana"][0]
    rate_ben = [step for step in review.steps["ben"] if step.item == wrong.item]
    own = Ratings(out, "ben")
    found = own.find(rate_ben[0].item, 0)
    assert found is not None
    own.save(found.model_copy(update={"answers": review.rubric.parse_answers(BAD)}))
    scores = {(number, 0): 5.0 for number in range(4)}
    summary = summarize_review(out, scores)
    assert summary.forms == {"ana": [4, 4], "ben": [4, 4]}
    agreement = summary.questions["hallucination"]
    assert (agreement.answers, agreement.items, agreement.alpha) == ({"yes": 2, "no": 6}, 4, 1.0)
    assert agreement.interval is None
    assert summary.questions["linkage"].missing == "all answers are the same"
    assert (summary.rated, summary.wrong) == (4, 1)
    assert summary.judge is not None
    assert (summary.judge.wrong, summary.judge.wrong_passed) == (1, 1)
    assert summary.judge.confusion[4] == [1, 0, 0, 3, 0]
    assert "passed 1 of 1 clinically wrong ones" not in deepicd("review", "summary", out).out  # without a judge
    assert json.loads((out / "summary.json").read_text())["judge"] is None


def test_alpha_is_krippendorffs(deepicd: Deepicd) -> None:
    """The example of Krippendorff (2011), nominal data of four observers: 0.743."""
    units = [[1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4],
             [1, 1, 2, 1], [2, 2, 2, 2], [5, 5, 5], [1, 1]]  # fmt: skip
    assert measure_alpha(units, "nominal") == pytest.approx(0.743, abs=0.001)
    assert measure_interval(units, "nominal") is None  # of eleven items
    low, high = measure_interval(units * 4, "nominal") or (0.0, 0.0)
    assert 0.4 < low < 0.743 < high < 1


@pytest.mark.parametrize("format_name", ["argilla", "label-studio"])
def test_ratings_go_to_another_program_and_come_back(deepicd: Deepicd, tmp_path: Path, format_name: str) -> None:
    out = start(deepicd, write_example(tmp_path))
    rate(out, "ana", GOOD)
    rate(out, "ben", BAD, 2)
    assert deepicd("review", "export", out, tmp_path / "records.json", "--format", format_name).code == 0
    before = {(rating.reviewer, rating.item): rating.answers for rating in read_all_ratings(out)}
    for file in (out / "ratings").glob("*.jsonl"):
        file.unlink()
    outcome = deepicd("review", "import", out, tmp_path / "records.json", "--format", format_name)
    assert sorted(outcome.out.splitlines()) == ["2 ratings of ben", "4 ratings of ana"]
    assert {(rating.reviewer, rating.item): rating.answers for rating in read_all_ratings(out)} == before
    assert (tmp_path / "records.json").stat().st_mode & 0o777 == 0o600


def test_label_studios_own_package_takes_the_tasks(deepicd: Deepicd, tmp_path: Path) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface")
    out = start(deepicd, write_example(tmp_path))
    rate(out, "ana", GOOD)
    deepicd("review", "export", out, tmp_path / "tasks.json", "--format", "label-studio")
    config = interface.LabelInterface((tmp_path / "tasks.xml").read_text())
    config.validate()
    for task in json.loads((tmp_path / "tasks.json").read_text()):
        (annotation,) = task.pop("annotations")
        assert config.validate_task(task)
        assert config.validate_annotation(annotation)


def test_argillas_own_package_takes_the_records(deepicd: Deepicd, tmp_path: Path) -> None:
    argilla = pytest.importorskip("argilla")
    out = start(deepicd, write_example(tmp_path))
    rate(out, "ana", GOOD)
    deepicd("review", "export", out, tmp_path / "records.json", "--format", "argilla")
    for record in json.loads((tmp_path / "records.json").read_text()):
        back = argilla.Record.from_dict(record).to_dict()
        assert {name: back[name] for name in ("id", "fields", "metadata", "responses")} == {
            name: record[name] for name in ("id", "fields", "metadata", "responses")
        }


def test_csv_has_answers_and_no_texts_and_no_formulas(deepicd: Deepicd, tmp_path: Path) -> None:
    out = start(deepicd, write_example(tmp_path))
    rate(out, "ana", GOOD | {"comment": "=1+1"}, 1)
    assert deepicd("review", "export", out, tmp_path / "ratings.csv").code == 0
    (line,) = csv.DictReader((tmp_path / "ratings.csv").open())
    assert (line["reviewer"], line["overall"], line["comment"]) == ("ana", "4", "'=1+1")
    assert not {"note", "trace"} & set(line)


def test_a_file_of_another_review_is_refused(deepicd: Deepicd, tmp_path: Path) -> None:
    out = start(deepicd, write_example(tmp_path))
    (tmp_path / "other.json").write_text(
        '[{"id": "item-99-0", "responses": {"overall": [{"value": 4, "user_id": "ana"}]}}]'
    )
    outcome = deepicd("review", "import", out, tmp_path / "other.json", "--format", "argilla")
    assert (outcome.code, "does not belong to this review" in outcome.err) == (1, True)


@pytest.mark.parametrize("format_name", ["argilla", "label-studio"])
@pytest.mark.parametrize(("text", "message"), [("[]", "has no ratings"), ('[{"id": 3}]', "is not in the form of")])
def test_a_file_without_ratings_is_refused(
    deepicd: Deepicd, tmp_path: Path, format_name: str, text: str, message: str
) -> None:
    out = start(deepicd, write_example(tmp_path))
    (tmp_path / "other.json").write_text(text)
    outcome = deepicd("review", "import", out, tmp_path / "other.json", "--format", format_name)
    assert (outcome.code, message in outcome.err) == (1, True)
    outcome = deepicd("review", "export", out, tmp_path / "ratings.csv")
    assert (outcome.code, "Nobody has rated anything" in outcome.err) == (1, True)


def test_more_shared_notes_than_notes_are_refused(deepicd: Deepicd, tmp_path: Path) -> None:
    command = ("review", "start", tmp_path, tmp_path / "out", "--reviewers", "ana,ben", "--rows", 10, "--overlap", 40)
    outcome = deepicd(*command)
    assert (outcome.code, "40 of 10 notes" in outcome.err) == (1, True)


def test_a_line_that_was_edited_is_an_error_and_not_a_missing_form(deepicd: Deepicd, tmp_path: Path) -> None:
    out = start(deepicd, write_example(tmp_path))
    rate(out, "ana", GOOD, 1)
    with (out / "ratings" / "ana.jsonl").open("a") as file:
        file.write('{"reviewer": "ana"')
    with pytest.raises(DeepicdError, match="line 2, is not a rating"):
        read_all_ratings(out)


def test_a_comment_with_separators_of_unicode_is_one_line(deepicd: Deepicd, tmp_path: Path) -> None:
    out = start(deepicd, write_example(tmp_path))
    rate(out, "ana", GOOD | {"comment": "clear\u2028so far\x85"}, 1)
    (rating,) = read_all_ratings(out)
    assert rating.answers["comment"] == "clear\u2028so far"


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("review.json", rb'"seed": \d+', b'"seed": "x"', "is not the plan of a review"),
        ("review.json", rb'"trace": 0', b'"trace": 7', "has a step for an item that it does not have"),
        ("ratings/ana.jsonl", rb'"item": \d+', b'"item": 99', "has a rating of an item that"),
        ("ratings/ana.jsonl", b'"hallucination": "no"', b'"hallucination": "perhaps"', "was not offered"),
        ("ratings/ana.jsonl", b"clear", b"cl\xf0ar", "line 1, is not a rating"),
    ],
)
def test_an_edited_review_is_an_error_of_ours(
    file: str, old: bytes, new: bytes, problem: str, deepicd: Deepicd, tmp_path: Path
) -> None:
    out = start(deepicd, write_example(tmp_path))
    rate(out, "ana", GOOD, 1)
    content = (out / file).read_bytes()
    damaged, times = re.subn(old, lambda _: new, content, count=1)
    assert times == 1
    (out / file).write_bytes(damaged)
    for command in (("summary", out), ("export", out, tmp_path / "ratings.csv")):
        outcome = deepicd("review", *command)
        assert (outcome.code, problem in outcome.err) == (1, True), outcome.err


@pytest.mark.parametrize(
    ("rubric", "problem"),
    [
        ({"questions": []}, "questions"),
        ({"questions": [{"name": "a", "ask": "?", "kind": "stars"}]}, "kind"),
        ({"questions": [{"name": "a", "ask": "?", "kind": "scale"}] * 2}, "same name"),
        ({"questions": [{"name": "a", "ask": "?", "kind": "text"}], "judged": "a"}, "not a question with a scale"),
    ],
)
def test_a_rubric_that_cannot_be_asked_is_an_error(rubric: dict[str, object], problem: str) -> None:
    with pytest.raises(DeepicdError, match=problem):
        Rubric.parse(rubric, "rubric.yaml")


def test_the_rubric_of_this_package_asks_what_the_clinicians_criticised() -> None:
    rubric = load_rubric(Path("clinicians"))
    assert [question.name for question in rubric.questions] == [
        "premature_closure", "severity_missed", "hallucination", "linkage", "concision", "overall", "comment",
    ]  # fmt: skip


def test_nobody_rates_who_has_no_part_in_the_review(deepicd: Deepicd, tmp_path: Path) -> None:
    out = start(deepicd, write_example(tmp_path))
    outcome = deepicd("review", "rate", out, "--reviewer", "eve", "--no-browser")
    assert (outcome.code, "Its reviewers are: ana, ben." in outcome.err) == (1, True)
    assert Address().port == 0
