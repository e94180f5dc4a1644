"""Answers of models: confusion at each depth, the answers behind a cell, and two runs beside each other."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from reading_room_example import read_examples, write_evaluation, write_example
from reading_room_server import serve_app

from cards.reading_room.evaluation import View, measure_evaluation, parse_view
from cards.reading_room.folders import find_holdings
from cards.reading_room.pages import Pages
from cards.reading_room.rows import open_rows
from cards.reading_room.server import ServerLinks, build_app
from deepicd.errors import DeepicdError

FIRST = {"I5023": "I5021", "J189": "J189", "K5732": None, "I10": "I10"}
SECOND = {"I5023": "I5023", "J189": "A419", "K5732": "K5732", "I10": "I10"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    folder = write_example(tmp_path_factory.mktemp("evaluated"))
    write_evaluation(folder / "sft", folder / "cohort", FIRST)
    write_evaluation(folder / "grpo", folder / "cohort", SECOND)
    return Pages(open_rows(find_holdings(folder)), ServerLinks(), "example")


@pytest.fixture(scope="module")
def client(pages: Pages) -> Iterator[httpx.Client]:
    with (
        serve_app(lambda address: build_app(pages, address)) as address,
        httpx.Client(base_url=f"http://127.0.0.1:{address.port}", trust_env=False) as client,
    ):
        client.get("/", params={"token": address.token})
        yield client


def read_matrix(pages: Pages, **query: str) -> dict[str, dict[str, int]]:
    matrix = measure_evaluation(pages.rows, pages.runs, parse_view(query))["matrix"]
    return {truth: {answer: number for answer, number, _ in cells if number} for truth, _, cells in matrix["lines"]}


def test_confusion_is_by_chapter_then_category_then_code(pages: Pages) -> None:
    assert read_matrix(pages, run="sft") == {"9": {"9": 2}, "10": {"10": 1}, "11": {"none": 1}}
    assert read_matrix(pages, run="grpo") == {"9": {"9": 2}, "10": {"1": 1}, "11": {"11": 1}}
    assert read_matrix(pages, run="sft", within="9") == {"I10": {"I10": 1}, "I50": {"I50": 1}}
    assert read_matrix(pages, run="sft", within="I50") == {"I5023": {"I5021": 1}}


def test_an_answer_without_a_code_is_wrong_at_every_level(pages: Pages) -> None:
    shares = measure_evaluation(pages.rows, pages.runs, View(run="sft"))["shares"]
    assert (shares["chapter"], shares["category"], shares["code"]) == (0.75, 0.75, 0.5)


def test_two_runs_show_what_changed(pages: Pages) -> None:
    changes = measure_evaluation(pages.rows, pages.runs, View(run="sft", against="grpo"))["changes"]
    assert changes["chapter"] == {"both": 2, "ours": 1, "theirs": 1, "neither": 0}
    assert changes["code"] == {"both": 1, "ours": 1, "theirs": 2, "neither": 0}


def test_a_cell_leads_to_its_answers_and_their_notes(client: httpx.Client) -> None:
    page = client.get("/evaluation", params={"run": "sft"}).text
    assert "right chapter</dt><dd>75.0 %" in page
    assert 'href="/evaluation?run=sft&amp;truth=11&amp;predicted=none"' in page
    cell = client.get("/evaluation", params={"run": "sft", "truth": "11", "predicted": "none"}).text
    assert "answered without a code: missing tag" in cell
    assert "Answer to K5732" in cell
    assert '<a href="/rows/3">Its note and trace</a>' in cell
    assert "<b>" not in cell


def test_what_does_not_exist_is_an_error(client: httpx.Client, pages: Pages) -> None:
    assert "There is no run" in client.get("/evaluation", params={"run": "dpo"}).text
    with pytest.raises(DeepicdError, match="neither a chapter nor a category"):
        parse_view({"within": "99"})


def test_a_folder_without_evaluations_has_no_such_page(tmp_path: Path) -> None:
    plain = Pages(open_rows(find_holdings(write_example(tmp_path))), ServerLinks(), "example")
    with pytest.raises(DeepicdError, match="holds no evaluation"):
        plain.render_evaluation(View())
    assert len(read_examples()) == 4
