"""`deepicd evaluate` on answers of a file."""

import json
from pathlib import Path
from typing import Any

import pytest
from cohorts import rows_in
from conftest import Deepicd
from evaluations import dataset, metrics

from deepicd.answer_form import write_answer
from deepicd.icd10cm import Code


@pytest.fixture(scope="module")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset folder with 20 notes in its test split."""
    return dataset(tmp_path_factory.mktemp("dataset_folder"))


def answers(folder: Path, dataset_folder: Path, every: int = 1) -> tuple[Path, list[dict[str, Any]]]:
    """A file that answers each note of the test split with the first code, the truth in turn."""
    rows = [
        {
            "note_id": row["extra_info"]["note_id"],
            "icd_code": row["reward_model"]["ground_truth"],
            "completion": write_answer("Reasons.", Code("I214")),
        }
        for row in rows_in(dataset_folder / "grpo")
        if row["extra_info"]["split"] == "test"
    ]
    return write_lines(folder / "answers.jsonl", rows[::every]), rows


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def test_answers_are_measured_at_three_levels(tmp_path: Path, deepicd: Deepicd, dataset_folder: Path) -> None:
    file, _ = answers(tmp_path, dataset_folder)
    outcome = deepicd("evaluate", "--predictions", file, "--dataset", dataset_folder, "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    results = metrics(tmp_path / "out")
    # of 20 notes five each of I214, I2510, J189, E1165, all answered I214
    assert {level: results[level]["classes"] for level in ("chapter", "category", "full")} == {
        "chapter": 3,
        "category": 4,
        "full": 4,
    }
    assert results["full"]["accuracy"] == 0.25
    assert results["full"]["macro_recall"] == 0.25
    assert results["full"]["macro_precision"] == pytest.approx(0.25 / 4)
    assert results["full"]["macro_f1"] == pytest.approx(0.4 / 4)
    assert results["chapter"]["macro_f1"] == pytest.approx((2 / 3) / 3)
    assert (
        results["full"]["interval"]["macro_f1"][0]
        < results["full"]["macro_f1"]
        < results["full"]["interval"]["macro_f1"][1]
    )
    assert results["prefix_depth"]["rows"] == {"0": 10, "1": 0, "2": 5, "3": 0, "4": 5, "5": 0, "6": 0, "7": 0}
    assert sum(group["samples"] for group in results["terciles"]["full"].values()) == 20
    assert "| full code | 4 | 6.2 [" in (tmp_path / "out" / "report.md").read_text()
    assert (tmp_path / "out" / "chapters.png").stat().st_size > 20_000
    assert "full              4        6.2     25.0     10.0      25.0" in outcome.out


def test_a_file_alone_is_enough_and_its_order_does_not_matter(
    tmp_path: Path, deepicd: Deepicd, dataset_folder: Path
) -> None:
    file, rows = answers(tmp_path, dataset_folder)
    turned = write_lines(tmp_path / "turned.jsonl", rows[::-1])
    assert deepicd("evaluate", "--predictions", file, "--out", tmp_path / "one").code == 0
    assert deepicd("evaluate", "--predictions", turned, "--out", tmp_path / "other").code == 0
    assert metrics(tmp_path / "one") == metrics(tmp_path / "other")
    assert metrics(tmp_path / "one")["terciles"] is None


def test_a_second_run_does_nothing_and_another_is_not_written_over(
    tmp_path: Path, deepicd: Deepicd, dataset_folder: Path
) -> None:
    file, _ = answers(tmp_path, dataset_folder)
    command = ["evaluate", "--predictions", file, "--dataset", dataset_folder, "--out", tmp_path / "out"]
    deepicd(*command)
    before = (tmp_path / "out" / "run.json").read_bytes()
    assert deepicd(*command).code == 0
    assert (tmp_path / "out" / "run.json").read_bytes() == before
    outcome = deepicd(*command, "--averaging", "union")
    assert outcome.code == 1
    assert "option averaging was 'truth', now 'union'" in outcome.err
    assert deepicd(*command, "--averaging", "union", "--overwrite").code == 0
    assert metrics(tmp_path / "out")["averaging"] == "union"


def test_an_answer_without_the_form_predicts_nothing_unless_asked_for(tmp_path: Path, deepicd: Deepicd) -> None:
    rows = [
        {"note_id": "a", "icd_code": "I21.4", "completion": "<diagnosis>I214</diagnosis>"},
        {"note_id": "b", "icd_code": "I214", "completion": "Reasons.</think><diagnosis>I21.4</diagnosis>"},
        {"note_id": "c", "icd_code": "J189", "completion": None},
        {"note_id": "d", "icd_code": "J189", "completion": write_answer("Reasons.", Code("J189"))},
    ]
    file = write_lines(tmp_path / "answers.jsonl", [rows[0] | {"origin": "synthetic"}, *rows[1:]])

    def accuracy(*options: str) -> float:
        out = tmp_path / f"out{len(options)}{options[-1] if options else ''}".replace("<", "").replace(">", "")
        assert deepicd("evaluate", "--predictions", file, "--out", out, *options).code == 0
        return float(metrics(out)["full"]["accuracy"])

    assert accuracy() == 0.25
    assert accuracy("--answers", "diagnosis") == 0.75
    assert accuracy("--opening", "<think>") == 0.25 + 0.25 - 0.25  # d now opens twice
    assert metrics(tmp_path / "out0")["answers"]["problems"] == {"missing tag": 2, "no answer": 1}


def test_answers_that_the_prompt_has_opened_are_noticed(tmp_path: Path, deepicd: Deepicd) -> None:
    rest = write_answer("Reasons.", Code("I214")).removeprefix("<think>")
    file = write_lines(tmp_path / "answers.jsonl", [{"note_id": "a", "icd_code": "I214", "completion": rest}])
    outcome = deepicd("evaluate", "--predictions", file, "--out", tmp_path / "out")
    assert "Answers of 1 that predict no code: missing tag withheld." in outcome.err
    assert "Most are read with --opening '<think>'" in outcome.err
    command = ["evaluate", "--predictions", file, "--out", tmp_path / "opened", "--opening", "<think>"]
    assert "--opening" not in deepicd(*command).err
    assert metrics(tmp_path / "opened")["full"]["accuracy"] == 1.0


def test_notes_without_an_answer_count_as_wrong_and_are_said(
    tmp_path: Path, deepicd: Deepicd, dataset_folder: Path
) -> None:
    file, _ = answers(tmp_path, dataset_folder, every=2)
    outcome = deepicd("evaluate", "--predictions", file, "--dataset", dataset_folder, "--out", tmp_path / "out")
    assert "10 of 20 notes have no answer: they count as wrong." in outcome.err
    results = metrics(tmp_path / "out")
    assert (results["rows"], results["answers"]["problems"]["no answer"]) == (20, 10)
    assert results["full"]["accuracy"] == 0.25  # every second answer is the right one


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"note_id": "a", "icd_code": "I10", "completion": "x"}, "{SECRET"], "line 2 is not JSON"),
        (["[" * 100_000], "line 1 is not JSON"),
        (["[1, 2]"], "line 1 is not a JSON object"),
        ([{"icd_code": "I10", "completion": "SECRET"}], "line 1 has no note_id"),
        ([{"note_id": "a", "icd_code": "SECRET", "completion": "x"}], "line 1 has an icd_code that is not"),
        ([{"note_id": "a", "icd_code": "I10"}], "line 1 has no completion and no code"),
        ([{"note_id": "a", "icd_code": "I10", "completion": "x", "code": "I10"}], "line 1 has both a completion and a"),
        ([{"note_id": "a", "icd_code": "I10", "code": "I10", "codes": ["I10"]}], "line 1 has both a code and codes"),
        ([{"note_id": "a", "icd_code": "I10", "completion": ["SECRET"]}], "line 1 has no completion"),
        ([{"note_id": "SECRET", "icd_code": "I10", "completion": "x"}] * 2, "line 2 answers the same note as line 1"),
        ([{"note_id": "SECRET", "completion": "x"}], "1 predictions have no icd_code"),
        ([], "holds no predictions"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_without_its_text(
    tmp_path: Path, deepicd: Deepicd, rows: list[Any], said: str
) -> None:
    file = write_lines(tmp_path / "answers.jsonl", rows)
    outcome = deepicd("evaluate", "--predictions", file, "--out", tmp_path / "out")
    assert outcome.code == 1
    assert said in outcome.err
    assert "SECRET" not in outcome.err
    assert not (tmp_path / "out").exists()


def test_answers_that_belong_to_another_split_or_dataset_are_refused(
    tmp_path: Path, deepicd: Deepicd, dataset_folder: Path
) -> None:
    file, rows = answers(tmp_path, dataset_folder)
    command = ["evaluate", "--dataset", dataset_folder, "--out", tmp_path / "out", "--predictions"]
    outcome = deepicd(*command, file, "--split", "validation")
    assert "20 of 20 predictions answer notes that are not in the split 'validation'" in outcome.err
    other = write_lines(tmp_path / "other.jsonl", [rows[0] | {"icd_code": "K219"}, *rows[1:]])
    assert "1 of 20 predictions have another icd_code than the dataset" in deepicd(*command, other).err
    assert "has no split 'dev'" in deepicd(*command, file, "--split", "dev").err
    (tmp_path / "empty").mkdir()
    command[2] = tmp_path / "empty"
    assert "has no config 'grpo'" in deepicd(*command, file).err
    command[2] = tmp_path / "nowhere"
    assert "There is no dataset folder" in deepicd(*command, file).err


def test_of_credentialed_rows_no_cell_under_ten_is_shown(tmp_path: Path, deepicd: Deepicd) -> None:
    file, _ = answers(tmp_path, dataset_folder := dataset(tmp_path, "mimic", 150))
    outcome = deepicd("evaluate", "--predictions", file, "--dataset", dataset_folder, "--out", tmp_path / "out")
    assert "cells under ten are withheld" in outcome.err
    results = metrics(tmp_path / "out")
    assert [row["samples"] for row in results["chapters"] if row["samples"] != 0] == [
        None,
        16,
        None,
    ]  # IV and X: 7 each
    assert [row["f1"] for row in results["chapters"] if row["samples"] is None] == [None, None]
    text = (tmp_path / "out" / "report.md").read_text()
    assert "| X Diseases of the respiratory system | withheld | withheld | withheld |" in text
    assert json.loads((tmp_path / "out" / "run.json").read_text())["origin"] == "mimic"


def test_a_run_is_compared_with_another_on_the_same_notes(
    tmp_path: Path, deepicd: Deepicd, dataset_folder: Path
) -> None:
    file, rows = answers(tmp_path, dataset_folder)
    right = [row | {"completion": write_answer("Reasons.", Code(row["icd_code"]))} for row in rows]
    better = write_lines(tmp_path / "better.jsonl", right)
    command = ["evaluate", "--dataset", dataset_folder]
    deepicd(*command, "--predictions", file, "--out", tmp_path / "one")
    outcome = deepicd(*command, "--predictions", better, "--out", tmp_path / "two", "--against", tmp_path / "one")
    assert outcome.code == 0, outcome.err
    full = metrics(tmp_path / "two")["comparison"]["full.accuracy"]
    assert (full["ours"], full["theirs"], full["difference"]) == (1.0, 0.25, 0.75)
    assert full["interval"][0] > 0.3 and full["p"] < 0.02
    assert "| full accuracy | 100.0 | 25.0 | 75.0 [" in (tmp_path / "two" / "report.md").read_text()
    unsaid = ["evaluate", "--predictions", better, "--out", tmp_path / "unsaid", "--against", tmp_path / "one"]
    assert "cells under ten are withheld" in deepicd(*unsaid).err  # one of the two may be credentialed
    assert {row["samples"] for row in metrics(tmp_path / "unsaid")["chapters"]} == {0, 10, None}
    some = write_lines(tmp_path / "some.jsonl", [{**rows[0], "origin": "synthetic"}])
    outcome = deepicd("evaluate", "--predictions", some, "--out", tmp_path / "3", "--against", tmp_path / "one")
    assert "1 notes are in both, of 1 here and 20 there" in outcome.err
    assert "holds no predictions.parquet" in deepicd(
        "evaluate", "--predictions", some, "--out", tmp_path / "3", "--against", tmp_path
    ).err  # fmt: skip


def test_codes_alone_and_csv_are_read(tmp_path: Path, deepicd: Deepicd) -> None:
    lines = [
        {"note_id": 1, "icd_code": "I50.21", "code": "**I50.21**"},
        {"note_id": 2, "icd_code": "J189", "code": None},
    ]
    file = write_lines(tmp_path / "codes.jsonl", lines)
    (tmp_path / "codes.csv").write_text(
        '\ufeffnote_id,icd_code,code,by\r\n1,I50.21,"I50.21 - Acute systolic\nheart failure",x\r\n2,J189,,\r\n', "utf-8"
    )
    for number, path in enumerate((file, tmp_path / "codes.csv")):
        outcome = deepicd("evaluate", "--predictions", path, "--out", tmp_path / str(number))
        assert outcome.code == 0, outcome.err
        assert metrics(tmp_path / str(number))["full"]["accuracy"] == 0.5
        assert "no answer" in outcome.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("note_id,icd_code,code\n1,I10,I10,SECRET\n", "line 2 has not as many cells"),
        ("note_id,icd_code,code\n1,I10\n", "line 2 has not as many cells"),
        ('note_id,icd_code,code\n1,"I10,SECRET\n', "is not CSV in UTF-8"),
        ("note_id,icd_code\n1,I10\n", "line 2 has no completion and no code"),
        ("note_id,icd_code,code\n", "holds no predictions"),
        ("", "holds no predictions"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_said_without_its_text(
    tmp_path: Path, deepicd: Deepicd, text: str, said: str
) -> None:
    (tmp_path / "a.csv").write_text(text)
    outcome = deepicd("evaluate", "--predictions", tmp_path / "a.csv", "--out", tmp_path / "out")
    assert (outcome.code, said in outcome.err, "SECRET" in outcome.err) == (1, True, False), outcome.err


def test_an_example_ships(tmp_path: Path, deepicd: Deepicd) -> None:
    outcome = deepicd("evaluate", "--predictions", "example", "--out", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "Answers of 12 that predict no code: missing tag 1, no answer 1." in outcome.err
    assert metrics(tmp_path / "out")["full"]["accuracy"] == 0.5
    assert metrics(tmp_path / "out")["origin"] == "synthetic"
