"""What is measured in traces: premature closure, grounding, invention, repetition, length, alternatives."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cohorts import NOTE
from conftest import Deepicd
from evaluations import dataset, metrics

from deepicd.answer_form import write_answer
from deepicd.icd10cm import Code
from deepicd.text_store import open_text_store
from deepicd.trace_measures import Share
from train.data import read_notes
from train.evaluation import reasoning
from train.evaluation.predictions import EvaluatedNote
from train.evaluation.reasoning import (
    TraceMeasures,
    TraceToMeasure,
    measure_ratios,
    measure_trace,
    measure_traces,
    summarize,
)

EARLY = (
    "I21.4 it is: “pressure for two hours”, HR 110, BP 80/40, took metoprolol 25 mg. She was pale."
    " The end of it is near."
)
LATE = "Pressure for two hours, HR 110 and BP 95/60. Pneumonia is less likely without fever. This is I21.4."


def measure(trace: str, note: str | None = NOTE) -> TraceMeasures:
    return measure_trace(TraceToMeasure("a", 9, trace, Code("I214"), note))


def test_a_trace_that_closes_early_and_invents_is_told_from_one_that_weighs() -> None:
    early, late = measure(EARLY), measure(LATE)
    assert early.named_at == 0.0 and late.named_at and late.named_at > 0.9
    assert (early.weighing, late.weighing) == (0, 1)
    assert early.grounded["quotations"] == Share(1, 1) and early.grounded["drugs"] == Share(0, 1)
    assert (early.invented_vitals, late.invented_vitals) == (1, 0)
    assert late.grounded["numbers"][0] == late.grounded["numbers"][1] > 0
    assert early.words == 24


def test_without_the_note_there_is_no_grounding_and_without_a_code_no_closure() -> None:
    alone = measure_trace(TraceToMeasure("a", 9, EARLY, None, None))
    assert (alone.named_at, alone.grounded, alone.invented_vitals) == (None, {}, 0)
    [row] = [summarize([alone], show_all=True)]
    assert row and row.overall.grounded == {} and row.overall.invented_vitals is None
    assert summarize([], show_all=True) is None


def test_answers_without_a_trace_are_left_out_and_broken_ones_measured(tmp_path: Path) -> None:
    texts = [LATE, "<think>Cough", "Cough.</think><diagnosis>I10</diagnosis>", "<diagnosis>I10</diagnosis>", None, ""]
    with open_text_store(tmp_path) as store:
        stored = [store.add(text) if text is not None else None for text in texts]
        notes = [EvaluatedNote(str(n), Code("I214"), None, "missing tag", text) for n, text in enumerate(stored)]
        measures = measure_traces([(note, None) for note in notes], "")
    assert [one.words for one in measures] == [len(LATE.split()), 1, 1]


def test_shares_that_would_reveal_a_small_group_are_withheld() -> None:
    one = measure(LATE)
    rows = (
        [one] * 30 + [replace(one, named_at=0.1)] * 3 + [replace(one, chapter=1)] * 4 + [replace(one, chapter=2)] * 20
    )
    rows = [replace(row, note_id=f"{number}-DS-1") for number, row in enumerate(rows)]
    shown = summarize(rows, show_all=True)
    hidden = summarize(rows, show_all=False)
    assert shown and hidden
    assert shown.overall.named_early == pytest.approx(3 / 57)
    assert hidden.overall.named_early is None
    assert hidden.chapters["1"].traces is None and hidden.chapters["1"].words is None
    assert hidden.chapters["1"].grounded == {}
    assert hidden.chapters["9"].traces == 33 and hidden.chapters["9"].named_early is None
    assert hidden.overall.traces == 57


def test_no_figure_rests_on_few_patients_or_follows_from_others() -> None:
    base = replace(measure(LATE), grounded={"numbers": Share(2, 3), "drugs": Share(0, 0), "quotations": Share(0, 0)})

    def build(chapter: int, traces: int, **changes: object) -> list[TraceMeasures]:
        return [replace(base, chapter=chapter, **changes) for _ in range(traces)]  # type: ignore[arg-type]

    rows = build(9, 30, weighing=2, repeated=0.1) + build(9, 30, weighing=0, repeated=0.0)
    rows += build(1, 27, weighing=0, repeated=0.0) + build(1, 3, weighing=1, repeated=0.5)  # 3 sentences of 3 patients
    rows += build(2, 15, weighing=1, repeated=0.1) + build(2, 15, weighing=0, repeated=0.0)
    rows[0] = replace(rows[0], grounded=base.grounded | {"drugs": Share(1, 1)})
    rows = [replace(row, note_id=f"{number}-DS-1") for number, row in enumerate(rows)]
    found = summarize(rows, show_all=False)
    assert found
    overall, chapters = found.overall, found.chapters
    assert overall.weighing == pytest.approx(78 / 120) and overall.without_weighing == pytest.approx(72 / 120)
    for name in ("weighing", "without_weighing", "repeated"):
        assert [getattr(chapters[key], name) is None for key in ("1", "2", "9")] == [True, True, False], name
        assert name not in chapters["2"].interval
    # a reader is left with 120 · 0.65 - 60 = 18 sentences in two chapters, not with 3 in one
    assert overall.grounded == {
        "numbers": pytest.approx(2 / 3),
        "drugs": None,
        "quotations": None,
    }  # one patient's drug
    same = [replace(row, note_id=f"1-DS-{number}") for number, row in enumerate(rows)]
    alone = summarize(same, show_all=False)
    assert alone and alone.overall.traces is None and alone.overall.words is None and alone.overall.interval == {}


def test_several_processes_measure_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_text_store(tmp_path) as store:
        traces = [EARLY, LATE, EARLY, LATE, LATE]
        answers = [
            (EvaluatedNote(str(n), Code("I214"), Code("I214"), None, store.add(trace)), NOTE)
            for n, trace in enumerate(traces)
        ]
        alone = measure_traces(answers, "")
        monkeypatch.setattr(reasoning, "IN_PROCESS", 2)
        monkeypatch.setattr(reasoning, "CHUNK", 2)
        monkeypatch.setattr(reasoning, "AHEAD", 0)
        assert measure_traces(answers, "") == alone
    assert [one.words for one in alone] == [len(trace.split()) for trace in traces]


def test_reasoning_stands_in_report_and_table_before_and_after(tmp_path: Path, deepicd: Deepicd) -> None:
    folder = dataset(tmp_path)
    for name, trace in (("before", EARLY), ("after", LATE)):
        lines = [
            json.dumps({"note_id": note.note_id, "completion": write_answer(trace, Code("I214"))})
            for note in read_notes(str(folder), "test")
        ]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
        against = ["--against", tmp_path / "out-before"] if name == "after" else []
        command = ["evaluate", "--predictions", tmp_path / f"{name}.jsonl", "--dataset", folder, *against]
        done = deepicd(*command, "--out", tmp_path / f"out-{name}")
        assert done.code == 0, done.err
    found = metrics(tmp_path / "out-after")
    assert found["reasoning"]["overall"]["named_early"] == 0.0
    assert found["reasoning_before"]["named_early"] == 1.0
    assert found["reasoning_before"]["invented_vitals"] == 1.0
    assert found["reasoning"]["overall"]["invented_vitals"] == 0.0
    assert set(found["reasoning"]["chapters"]) == {"4", "9", "10"}
    report = (tmp_path / "out-after" / "report.md").read_text()
    assert "| all | 20 | 18.0 | 100.0 | 0.0 | 1.0 | 0.0 | 0.0 | 100.0 | – | – | 0.0 |" in report
    assert "| the other run | 20 | 24.0 | 100.0 | 100.0 |" in report
    table = deepicd("train", "table", f"SFT={tmp_path / 'out-before'}", tmp_path / "out-after").out
    section = table.split("### Reasoning")[1]
    assert "| SFT | 20 | 24.0 |" in section and "| DeepICD-R1, traces of MIMIC-Reason | 93,142 | 477.3 |" in section
    assert "without the judge, accuracy holds but traces degenerate" in section


def test_an_interval_is_over_patients_and_absent_where_few_traces_decide() -> None:
    clean = replace(measure(LATE), grounded={}, invented_vitals=0)
    rows = [replace(clean, note_id=f"{n}-DS-1", invented_vitals=int(n < 10), words=100 + n) for n in range(40)]
    found = summarize(rows, show_all=True)
    assert found
    # standard error sqrt(0.25 · 0.75 / 39), on the logit scale, Student's quantile with 39 degrees of freedom or fewer
    assert measure_ratios(rows)["invented_vitals"].interval == pytest.approx([0.137, 0.412], abs=0.005)
    assert found.overall.interval["words"] == pytest.approx([119.5 - 3.74, 119.5 + 3.74], abs=0.05)
    assert "weighing" not in found.overall.interval, "every trace weighs once: nothing varies"
    twice = [replace(row, note_id=row.note_id.replace("-1", f"-{again}")) for row in rows for again in (1, 2)]
    [once, doubled] = [measure_ratios(some)["invented_vitals"].interval for some in (rows, twice)]
    assert doubled == pytest.approx(once), "a second note of each patient tells nothing new"
    assert measure_ratios(rows[8:])["invented_vitals"] == (2 / 32, None)
    assert measure_ratios(rows[:12])["invented_vitals"].interval is None
