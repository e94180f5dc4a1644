"""Few-shot examples: kept traces of other patients of the training split, shown first and part of every key."""

from pathlib import Path

import pytest
from cohorts import rows_in, write_cohort
from conftest import Deepicd

from deepicd import records
from deepicd.engines.tokens import TokenCounter
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from distill import run
from distill.examples import Example, Examples
from distill.preview import describe_job
from distill.prompt_builder import Prompt, PromptBuilder
from distill.recipe import Recipe
from distill.run import Job
from distill.workload import assume_workload

FIRST = Recipe(name="first", engine="rehearsal", model="none")
TWO = FIRST.replace(name="two", examples=2)
CODES = ("I214", "I5021", "J189", "E119")


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    return write_cohort(tmp_path / "cohort", 60, codes=CODES)


@pytest.fixture
def traces(cohort: Path, tmp_path: Path) -> Path:
    run.distill(cohort, tmp_path / "first", FIRST)
    return tmp_path / "first" / FIRST.digest


def test_each_prompt_shows_traces_of_its_chapter_but_never_of_its_own_row_or_another_split(
    cohort: Path, traces: Path
) -> None:
    sources = Job(cohort, traces, TWO, examples=traces).open_sources()
    train = {row["note_id"]: row for split, row in sources.read_rows() if split == "train"}
    for _, row in sources.read_rows():
        chosen = sources.examples.choose(row)
        assert len(chosen) == 2
        assert len({example.subject_id for example in chosen} - {row["subject_id"]}) == 2
        assert {example.note_id for example in chosen} <= train.keys() - {row["note_id"]}
        assert {str(example.code)[0] for example in chosen} == {row["icd_code"][0]}
        assert all(example.answer.startswith("<think>") for example in chosen)
    assert sources.examples == Job(cohort, traces, TWO, examples=traces).open_sources().examples


def test_a_trace_for_another_code_than_its_row_has_is_no_example(traces: Path, tmp_path: Path) -> None:
    other = write_cohort(tmp_path / "other", 60, codes=("I10",))  # the same notes, with another diagnosis
    with pytest.raises(DeepicdError, match="with the same code"):
        Job(other, tmp_path / "out", TWO, examples=traces).open_sources()


def test_another_note_of_the_same_patient_is_no_example() -> None:
    def example(number: int, subject: int) -> Example:
        return Example(f"note-{number}", subject, "Chest pain.", Code("I214"), "NSTEMI", "<think>…")

    examples = Examples(1, {9: (example(1, 7), example(2, 8))})
    assert examples.choose({"note_id": "note-3", "subject_id": 7, "icd_code": "I10"})[0].subject_id == 8
    assert examples.choose({"note_id": "note-4", "subject_id": 9, "icd_code": "J189"})[0].subject_id == 7


def test_examples_stand_first_in_both_layouts_and_every_note_is_whole(cohort: Path, traces: Path) -> None:
    for layout in ("prefix", "paper"):
        recipe = TWO.replace(layout=layout)
        sources = Job(cohort, traces, recipe, examples=traces).open_sources()
        job = Job(cohort, traces.parent / layout, recipe, examples=traces)
        with run.open_plan(job, sources) as (_, history):
            row = next(row for _, row in sources.read_rows())
            built = history.builder.build(row)
        assert isinstance(built, Prompt)
        text = built.messages[-1]["content"]
        assert text.startswith("# Examples of other patients\n## Example 1, admission note\n")
        assert text.index("## Example 2, answer") < text.index("# Admission note")
        assert all(example.note in text and example.answer in text for example in built.material.examples)


def test_examples_make_other_prompts_and_are_recorded(cohort: Path, traces: Path, tmp_path: Path) -> None:
    job = Job(cohort, tmp_path / "out", TWO, examples=traces)
    assert "2 examples per prompt, of 9 kept traces of other patients." in describe_job(job)
    record = run.run_job(job)
    assert record.options["examples"] == 2 and "examples" in record.inputs
    first = {row["note_id"]: row for row in rows_in(traces / "kept")}
    kept = rows_in(tmp_path / "out" / TWO.digest / "kept")
    assert kept and all(row["prompt_sha256"] != first[row["note_id"]]["prompt_sha256"] for row in kept)
    assert records.read(tmp_path / "out" / TWO.digest)


def test_examples_count_in_a_prompts_length(cohort: Path, traces: Path) -> None:
    sources = Job(cohort, traces, TWO, examples=traces).open_sources()
    row = next(row for _, row in sources.read_rows())

    def build(context: int) -> object:
        recipe = TWO.replace(context=context, max_tokens=100)
        return PromptBuilder(recipe, sources.knowledge, TokenCounter(), examples=sources.examples).build(row)

    built = build(32_768)
    assert isinstance(built, Prompt)
    tokens = TokenCounter().count("\n".join(turn["content"] for turn in built.messages) + "<think>\n")
    assert isinstance(build(tokens + 250), Prompt)
    assert build(tokens - 50) == "too long for the context"
    assert assume_workload(1_000, TWO).layouts["prefix"].per_row == pytest.approx(
        assume_workload(1_000, FIRST).layouts["prefix"].per_row + 2 * (1_500 + 668)
    )


def test_a_recipe_and_its_examples_belong_together(
    cohort: Path, traces: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    with pytest.raises(DeepicdError, match="shows 2 examples per prompt, and nothing says where"):
        run.distill(cohort, tmp_path / "out", TWO)
    with pytest.raises(DeepicdError, match="the recipe shows none"):
        run.distill(cohort, tmp_path / "out", FIRST, examples=traces)
    own = TWO.replace(prompt="mine", messages=[{"role": "user", "content": "{{ note }} {{ icd_code }}"}])
    with pytest.raises(DeepicdError, match="its prompt 'mine' has no place for them"):
        run.distill(cohort, tmp_path / "out", own, examples=traces)
    with pytest.raises(DeepicdError, match="no kept trace of a row that this cohort has in its training split"):
        run.distill(write_cohort(tmp_path / "one", 1), tmp_path / "out", TWO, examples=traces)
    planned = deepicd("plan", cohort, "--recipe", "rehearsal", "--set", "examples=2", "--examples", traces)
    assert planned.code == 0, planned.err
