"""Lists of codes against the codes of a stay."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Deepicd
from openai_server import MODEL, openai_server
from small_dataset import small_dataset

from deepicd import storage
from deepicd.answer_form import write_answers
from deepicd.icd10cm import Code
from train.evaluation.several import PredictedList, measure_lists

TRUTH = ("I200", "I10", "E871", "E119")


def build_list(*listed: str | None, note_id: str = "1-DS-1", truth: tuple[str, ...] = TRUTH) -> PredictedList:
    return PredictedList(
        note_id, tuple(map(Code, truth)), tuple(None if code is None else Code(code) for code in listed)
    )


def list_means(one: PredictedList, level: str = "full") -> dict[str, float]:
    return measure_lists([one], show_all=True).levels[level].means  # type: ignore[index]


def test_recall_precision_f1_and_average_precision_of_a_list() -> None:
    means = list_means(build_list("I200", "J189", "I10"))
    assert means == pytest.approx({
        "recall_at_1": 1 / 4, "recall_at_3": 2 / 4, "recall_at_5": 2 / 4, "recall_at_10": 2 / 4, "recall": 2 / 4,
        "precision": 2 / 3, "f1": 2 * 2 / (3 + 4), "average_precision": (1 + 2 / 3) / 4,
    })  # fmt: skip


def test_the_true_list_earns_one_everywhere_and_no_answer_nothing() -> None:
    gold = list_means(build_list(*TRUTH))
    assert {name: value for name, value in gold.items() if value < 1} == {"recall_at_1": 1 / 4, "recall_at_3": 3 / 4}
    assert set(list_means(build_list()).values()) == {0.0}


def test_right_codes_after_wrong_ones_count_less_in_average_precision_alone() -> None:
    first, last = list_means(build_list("I200", "J189")), list_means(build_list("J189", "I200"))
    assert (first["average_precision"], last["average_precision"]) == (1 / 4, 1 / 8)
    assert (first["precision"], first["f1"]) == (last["precision"], last["f1"])


def test_repeated_codes_and_blocks_without_a_code_take_places_and_are_wrong() -> None:
    assert list_means(build_list("I200", "I200", None, "I10"))["precision"] == 2 / 4
    assert measure_lists([build_list("I200", "I200", None, "I10")], show_all=True).repeated == pytest.approx(1 / 3)


def test_a_category_is_hit_by_another_code_of_it_once() -> None:
    means = list_means(build_list("I209", "I208", "I10"), "category")
    assert (means["recall"], means["precision"]) == (2 / 4, 1.0)  # I20 and I10 of I20, I10, E87, E11
    assert list_means(build_list("I209", "I208", "I10"))["precision"] == 1 / 3


def test_wrong_severity_is_counted_apart_once_per_true_code() -> None:
    severity = measure_lists([build_list("I209", "I208", "J189", "I10")], show_all=True).severity
    assert severity is not None
    assert (severity.errors, severity.severity_only, severity.pairs) == (3, 1, {"I20.9 for I20.0": 1})


def test_no_withheld_chapter_follows_from_the_means_and_the_other_chapters() -> None:
    lists = []
    for number in range(200):
        truth = ["I200"] + ["E871"] * (number < 60) + ["J189"] * (number < 4) + ["K529"] * (number < 120)
        lists.append(build_list(*truth, note_id=f"{number}-DS-1", truth=tuple(truth)))
    found = measure_lists(lists, show_all=False)
    assert (found.true, found.listed, found.repeated) == (1.9, 1.9, 0.0)  # 384 codes of 200 stays
    shown = sum(row.true or 0 for row in found.chapters)
    withheld = [row.chapter for row in found.chapters if row.true is None]
    # what a reader who knew the exact mean would be left with: 64 codes in two chapters, of which 4 are of J
    assert (withheld, 384 - shown) == ([4, 10], 64)
    repeating = [one._replace(listed=one.listed * 2) if number < 3 else one for number, one in enumerate(lists)]
    assert measure_lists(repeating, show_all=False).repeated is None
    nine = measure_lists(lists[:9], show_all=False)
    assert (nine.true, nine.listed) == (None, None)


def test_chapters_count_codes_and_withhold_those_of_few_patients() -> None:
    many = [build_list("I200", note_id=f"{number}-DS-1", truth=("I200", "E871")) for number in range(20)]
    few = [build_list("J189", "J440", note_id="1-DS-2", truth=("J189",))]
    free, private = (measure_lists([*many, *few], show_all=show_all) for show_all in (True, False))
    rows = {row.chapter: (row.true, row.recall, row.precision) for row in free.chapters}
    assert (rows[9], rows[4], rows[10]) == ((20, 1.0, 1.0), (20, 0.0, None), (1, 1.0, 0.5))
    withheld = {row.chapter: (row.true, row.recall, row.precision) for row in private.chapters}
    assert [withheld[chapter] for chapter in (4, 9, 10)] == [(None, None, None)] * 3, "10 alone would follow"
    assert private.severity is None


def test_intervals_are_those_of_a_mean_over_patients_and_absent_where_none_covers() -> None:
    one, half = build_list(*TRUTH), build_list("I200", "I10")
    lists = [(one if number % 2 else half)._replace(note_id=f"{number}-DS-1") for number in range(40)]
    level = measure_lists(lists, show_all=True).levels["full"]
    low, high = level.interval["recall"] or [0.0, 0.0]
    assert level.means["recall"] == 0.75
    assert (low, high) == (pytest.approx(0.662, abs=0.002), pytest.approx(0.821, abs=0.002))
    assert level.interval["precision"] is None  # all are right
    same_patient = [each._replace(note_id=f"{number // 4}-DS-{number}") for number, each in enumerate(lists)]
    wider = measure_lists(same_patient, show_all=True).levels["full"].interval["recall"]
    assert wider is None or wider != [low, high]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_dataset(tmp_path_factory.mktemp("several") / "dataset", configs=("sft", "grpo", "multi"))


def read_rows(several: Path) -> list[dict[str, object]]:
    return pq.read_table(several / "multi" / "test-00000-of-00001.parquet").to_pylist()


def test_evaluate_reads_completions_as_lists(several: Path, tmp_path: Path, deepicd: Deepicd) -> None:
    rows = read_rows(several)
    lines = [
        {"note_id": row["note_id"], "completion": write_answers("Cough.", map(Code, row["icd_codes"]))}  # type: ignore[arg-type]
        for row in rows[:-1]
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    out = tmp_path / "out"
    done = deepicd("evaluate", "--predictions", tmp_path / "answers.jsonl", "--dataset", several, "--config", "multi",
                   "--out", out)  # fmt: skip
    assert done.code == 0, done.err
    metrics = storage.read_json(out / "metrics.json")
    assert metrics["full"]["accuracy"] == 7 / 8  # the first code; one note has no answer
    assert metrics["several"]["levels"]["full"]["means"]["f1"] == 7 / 8
    assert metrics["several"]["listed"] == 14 / 8
    assert "## Lists of diagnoses" in (out / "report.md").read_text()
    lists = {row["note_id"]: row["predicted"] for row in pq.read_table(out / "lists.parquet").to_pylist()}
    assert lists[rows[0]["note_id"]] == rows[0]["icd_codes"]
    assert lists[rows[-1]["note_id"]] == []


def test_evaluate_reads_codes_of_another_program(several: Path, tmp_path: Path, deepicd: Deepicd) -> None:
    rows = read_rows(several)
    lines = [{"note_id": row["note_id"], "codes": ["I10", "J18.9"]} for row in rows]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "answers.csv").write_text(
        "note_id,codes,code\n" + "".join(f"{row['note_id']},I10; J18.9,\n" for row in rows)
    )
    found = []
    for name in ("answers.jsonl", "answers.csv"):
        out = tmp_path / Path(name).suffix
        done = deepicd("evaluate", "--predictions", tmp_path / name, "--dataset", several, "--config", "multi",
                       "--out", out)  # fmt: skip
        assert done.code == 0, done.err
        found.append(storage.read_json(out / "metrics.json")["several"])
    assert found[0] == found[1]
    right = [len({"I10", "J189"} & set(row["icd_codes"])) for row in rows]  # type: ignore[call-overload]
    assert found[0]["levels"]["full"]["means"]["precision"] == pytest.approx(sum(right) / 2 / len(rows))


def test_without_the_config_nothing_is_said_of_lists(several: Path, tmp_path: Path, deepicd: Deepicd) -> None:
    lines = [{"note_id": row["note_id"], "codes": ["J18.9", "I10"]} for row in read_rows(several)]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = deepicd(
        "evaluate", "--predictions", tmp_path / "answers.jsonl", "--dataset", several, "--out", tmp_path / "out"
    )
    assert done.code == 0, done.err
    assert "several" not in storage.read_json(tmp_path / "out" / "metrics.json")
    assert not (tmp_path / "out" / "lists.parquet").exists()


def test_lists_need_a_dataset_that_has_them(several: Path, tmp_path: Path, deepicd: Deepicd) -> None:
    done = deepicd("evaluate", "--predictions", "example", "--config", "multi", "--out", tmp_path / "out")
    assert done.code == 1 and "Name it: --dataset" in done.err
    plain = small_dataset(tmp_path / "plain", 8)
    done = deepicd(
        "evaluate", "--predictions", "example", "--config", "multi", "--dataset", plain, "--out", tmp_path / "out"
    )
    assert done.code == 1 and "has no config 'multi'" in done.err


def test_a_model_is_asked_for_several_diagnoses(several: Path, tmp_path: Path, deepicd: Deepicd) -> None:
    with openai_server() as server:
        done = deepicd("evaluate", "--model", MODEL, "--engine", "openai_server", "--base-url", server.url,
                       "--dataset", several, "--config", "multi", tmp_path / "out")  # fmt: skip
        assert done.code == 0, done.err
    assert len(server.asked) == 8
    assert "<diagnosis>the next code, without a dot</diagnosis>" in server.asked[0]["messages"][0]["content"]
    assert storage.read_json(tmp_path / "out" / "metrics.json")["several"]["listed"] == 1.0  # R69, in each answer
    assert "lists of full codes: recall at 5 0.0, precision 0.0, F1 0.0, MAP 0.0" in done.out


def test_lists_are_compared_with_those_of_another_run(several: Path, tmp_path: Path, deepicd: Deepicd) -> None:
    rows = read_rows(several)
    answers = {
        "right": [{"note_id": row["note_id"], "codes": row["icd_codes"]} for row in rows],
        "wrong": [{"note_id": row["note_id"], "codes": ["S72001A"]} for row in rows],
    }
    for name, lines in answers.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["evaluate", "--dataset", several, "--predictions"]
    alone = deepicd(*command, tmp_path / "wrong.jsonl", "--config", "multi", tmp_path / "wrong")
    assert alone.code == 0, alone.err
    both = deepicd(*command, tmp_path / "right.jsonl", "--config", "multi", "--against", tmp_path / "wrong",
                   tmp_path / "right")  # fmt: skip
    assert both.code == 0, both.err
    found = storage.read_json(tmp_path / "right" / "metrics.json")["several"]["comparison"]["full.f1"]
    assert (found["ours"], found["theirs"], found["difference"]) == (1.0, 0.0, 1.0)
    assert found["p"] < 0.02 and found["interval"][1] == 1.0
    assert "| full f1 | 100.0 | 0.0 | 100.0 [" in (tmp_path / "right" / "report.md").read_text()


def test_lists_are_not_compared_with_a_run_without_them(several: Path, tmp_path: Path, deepicd: Deepicd) -> None:
    rows = read_rows(several)
    lines = [{"note_id": row["note_id"], "codes": ["I10"]} for row in rows]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["evaluate", "--dataset", several, "--predictions", tmp_path / "answers.jsonl"]
    assert deepicd(*command, tmp_path / "one").code == 0
    done = deepicd(*command, "--config", "multi", "--against", tmp_path / "one", tmp_path / "two")
    assert done.code == 1 and "holds no lists.parquet" in done.err and "--config multi" in done.err
    assert not (tmp_path / "two").exists()


def test_equal_lists_are_told_apart_as_seldom_as_by_a_sign_test() -> None:
    ours = [build_list("I200", note_id=f"{number}-DS-1") for number in range(12)]
    theirs = [build_list(*(("I200",) if number > 6 else ("J189",)), note_id=f"{number}-DS-1") for number in range(12)]
    found = (measure_lists(ours, show_all=True, other=theirs).comparison or {})["full.recall"]
    assert found.difference == pytest.approx(7 / 12 / 4)
    assert found.p == pytest.approx(1 / 2**7, abs=0.004)  # all seven differ in one direction; ties count half
