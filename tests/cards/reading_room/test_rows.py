"""What a folder holds, and which of its rows a reader asked for."""

import json
import shutil
from pathlib import Path

import pytest
from reading_room_example import read_examples, write_example, write_scores, write_traces, write_verification

from cards.reading_room.filters import Filters, parse_filters
from cards.reading_room.folders import find_holdings
from cards.reading_room.pages import Pages
from cards.reading_room.rows import Rows, open_rows
from cards.reading_room.server import ServerLinks
from deepicd.errors import DeepicdError


def list_codes(rows: Rows, **query: str) -> list[str]:
    return [entry["icd_code"] for entry in rows.list_page(parse_filters(query)).entries]


def test_traces_bring_the_notes_that_they_were_made_from(example: Path) -> None:
    holdings = find_holdings(example / "traces")
    assert list(holdings.cohorts) == [example / "cohort"]
    assert open_rows(holdings).count() == 4


def test_a_folder_without_notes_is_an_error_that_says_what_to_point_at(tmp_path: Path) -> None:
    with pytest.raises(DeepicdError, match="holds no notes to read") as error:
        find_holdings(tmp_path)
    assert "--cohort DIR" in str(error.value)


def test_traces_of_another_cohort_than_the_one_in_its_place_are_not_mixed_with_it(tmp_path: Path) -> None:
    folder = write_example(tmp_path)
    record = folder / "cohort" / "run.json"
    values = json.loads(record.read_text())
    values["outputs"]["train.parquet"]["sha256"] = "0" * 64
    record.write_text(json.dumps(values | {"key": "0" * 64}))
    with pytest.raises(DeepicdError, match="is another run than the cohort"):
        find_holdings(folder / "traces")


def test_a_copy_of_the_cohort_is_no_second_one_and_the_named_cohort_is_read(tmp_path: Path) -> None:
    folder = write_example(tmp_path)
    other = folder / "other"
    shutil.copytree(folder / "cohort", other)
    assert list(find_holdings(folder).cohorts) == [folder / "cohort"]
    assert list(find_holdings(folder, other).cohorts) == [other]
    record = other / "run.json"
    values = json.loads(record.read_text())
    values["outputs"]["train.parquet"]["sha256"] = "0" * 64
    record.write_text(json.dumps(values | {"key": "0" * 64}))
    with pytest.raises(DeepicdError, match="holds 2 cohorts"):
        find_holdings(folder)
    chosen = find_holdings(folder, folder / "cohort")
    assert (list(chosen.cohorts), len(chosen.traces)) == ([folder / "cohort"], 1)
    with pytest.raises(DeepicdError, match="Nothing here was made from"):
        find_holdings(folder, other)


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        ({}, ["I5023", "J189", "K5732", "I10"]),
        ({"chapter": "9"}, ["I5023", "I10"]),
        ({"code": "i50.2"}, ["I5023"]),
        ({"flag": "patient has several stays"}, ["J189"]),
        ({"claim": "contradicted"}, ["I5023"]),
        ({"q": "TORSEMIDE"}, ["I5023"]),  # in note and trace
        ({"q": "bronchial breath"}, ["J189"]),
        ({"q": "hypertension"}, ["I10"]),  # in the title
        ({"q": "100%"}, []),  # no wildcard
        ({"q": "_ug_"}, []),
        ({"q": "left", "chapter": "11"}, ["K5732"]),
        ({"sort": "contradicted", "chapter": "9"}, ["I5023", "I10"]),
        ({"verdict": "rejected"}, []),
    ],
)
def test_filters_narrow_the_rows(rows: Rows, query: dict[str, str], codes: list[str]) -> None:
    assert list_codes(rows, **query) == codes


@pytest.mark.parametrize(
    "query", [{"verdict": "lost"}, {"chapter": "23"}, {"chapter": "x"}, {"code": "%"}, {"page": "-1"}]
)
def test_a_filter_that_is_none_of_the_offered_ones_is_an_error(query: dict[str, str]) -> None:
    with pytest.raises(DeepicdError):
        parse_filters(query)


def test_a_link_carries_the_selection_and_starts_at_its_first_page() -> None:
    filters = parse_filters({"chapter": "9", "q": "leg & knee", "page": "3"})
    assert filters.link() == "chapter=9&q=leg+%26+knee"
    assert parse_filters({"chapter": "9", "q": "leg & knee", "page": "3"}) == filters


def test_a_row_knows_its_neighbours_among_the_selected_ones(rows: Rows) -> None:
    entry = rows.find_entry(1, Filters(chapter=9))
    assert (entry["place"], entry["places"], entry["previous"], entry["next"]) == (1, 2, None, 4)
    assert rows.find_entry(2, Filters(chapter=9))["place"] is None


def test_the_kept_attempt_stands_for_the_row_and_the_rejected_one_is_listed(rows: Rows) -> None:
    entry = rows.find_entry(1, Filters())
    assert (entry["verdict"], entry["attempts"]) == ("kept", 2)
    attempts = rows.read_attempts(entry)
    assert [(attempt["attempt"], attempt["verdict"], attempt["rejected_for"]) for attempt in attempts] == [
        (1, "rejected", ["form"]), (2, "kept", []),
    ]  # fmt: skip


def test_two_teachers_are_two_rows_of_one_note(tmp_path: Path) -> None:
    folder = write_example(tmp_path)
    write_traces(folder / "traces" / ("b" * 12), folder / "cohort", read_examples(), "synthetic", "another")
    rows = open_rows(find_holdings(folder))
    assert list_codes(rows, code="J18") == ["J189", "J189"]


def test_a_judges_score_is_that_of_the_trace_it_read(tmp_path: Path) -> None:
    folder = write_example(tmp_path)
    traces = next((folder / "traces").glob("*"))
    write_scores(folder / "scores" / "judge", traces, {"J189": 2, "K5732": 4})
    rows = open_rows(find_holdings(folder))
    assert list_codes(rows, score="2") == ["J189"]
    assert list_codes(rows, sort="score") == ["J189", "K5732", "I5023", "I10"]
    entry = rows.find_entry(2, Filters())
    assert [score["why"] for score in rows.read_scores(entry, read_examples()[1]["trace"])] == ["made up"]
    assert rows.read_scores(entry, "another trace") == []


def test_what_verify_found_stands_with_the_trace_that_it_read(tmp_path: Path) -> None:
    folder = write_example(tmp_path)
    write_verification(folder / "verified" / "rules", next((folder / "traces").glob("*")))
    pages = Pages(open_rows(find_holdings(folder)), ServerLinks(), "example")
    page = pages.render_row(2, Filters())
    assert "Held against the stay: fails for refuted" in page
    assert '<li class="refuted"><span>productive cough</span>' in page
    assert "Held against the stay" not in pages.render_row(1, Filters())
