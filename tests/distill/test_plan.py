"""`deepicd plan`: what a run will take, by counting what it would ask."""

import json
from pathlib import Path

import pytest
from cohorts import write_cohort
from conftest import Deepicd

from deepicd.engines.tokens import TokenCounter
from distill import run
from distill.plan_stages import LLAMA_8B, LLAMA_70B, estimate_rates
from distill.plan_table import build_plan, find_limits, read_pilot
from distill.prompt_builder import PromptBuilder
from distill.recipe import Layout, Recipe, load_recipe
from distill.sources import open_sources
from distill.workload import assume_workload, count_pages, measure_workload

RECIPE = Recipe(name="test", engine="rehearsal", model="none")
LAYOUTS: tuple[Layout, ...] = ("prefix", "paper")


def test_tokens_are_those_of_the_prompts_that_a_run_sends(tmp_path: Path, sample_folder: Path) -> None:
    sources = open_sources(
        write_cohort(tmp_path / "cohort", 100, codes=("I214", "I5021", "E119", "J189")), sample_folder.parent, None
    )
    counter = TokenCounter()
    builders = {layout: PromptBuilder(RECIPE.replace(layout=layout), sources.knowledge, counter) for layout in LAYOUTS}
    workload = measure_workload(sources, builders)
    for layout, builder in builders.items():
        built = [builder.build(row) for _, row in sources.read_rows()]
        sent = sum(
            counter.count("\n".join(message["content"] for message in prompt.messages) + builder.opening)
            for prompt in built
            if not isinstance(prompt, str)
        )
        assert workload.layouts[layout].count(100) == pytest.approx(sent, rel=0.02)
    assert (workload.rows, workload.codes) == (100, 4)
    new = {layout: tokens.count_new(100, 4) for layout, tokens in workload.layouts.items()}
    assert new["prefix"] < 0.6 * new["paper"]  # guidelines come before the note, so that they are read once
    assert count_pages(sources) == 9  # I21 I21.4, I50 I50.2 I50.21, E11 E11.9, J18 J18.9


def test_published_rates_give_back_the_published_figures() -> None:
    for model in (LLAMA_8B, LLAMA_70B):
        rates = estimate_rates(model.billions, fp8=True)
        for written, tokens_per_second in ((128, model.short_answers), (2048, model.long_answers)):
            seconds = rates.count_hours(2048, written) * 3600 / model.gpus
            assert written / seconds == pytest.approx(tokens_per_second)
    assert estimate_rates(32.8).reading == pytest.approx(estimate_rates(32.8, fp8=True).reading / 2)


def test_rollouts_write_more_and_read_hardly_more() -> None:
    workload = assume_workload(93_142, RECIPE)
    one, eight = (build_plan(workload, RECIPE.replace(rollouts=n), None) for n in (1, 8))
    written = [next(line.amount for line in lines if line.what == "tokens written") for lines in (one, eight)]
    assert written == ["62.2 M", "497.9 M"]
    assert [line.amount for line in one if line.stage == "scrape"] == ["10,189"]


def test_a_plan_for_more_rows_has_more_codes_but_not_in_proportion() -> None:
    workload = assume_workload(93_142, RECIPE)
    assert (workload.codes, workload.scale(1_000_000).codes) == (6_368, 14_615)
    assert workload.scale(10**10).codes == 74_260
    assert assume_workload(10, RECIPE).codes == 10


def test_a_cohort_is_planned_for_and_a_pilots_rates_are_used(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 100), tmp_path / "traces"
    arguments = ("plan", cohort, "--recipe", "rehearsal")
    assert "| build " in deepicd(*arguments).out
    missing = deepicd(*arguments, "--traces", out)
    assert missing.code == 2
    assert "deepicd distill … --pilot 1%" in missing.err
    assert deepicd("distill", cohort, out, "--recipe", "rehearsal", "--pilot", "20").code == 0
    [series] = (out / "progress").glob("*.jsonl")
    last = json.loads(series.read_text().splitlines()[-1])
    series.write_text(json.dumps(last | {"seconds": 2.0}) + "\n")  # a fast machine takes less than can be measured
    planned = deepicd(*arguments, "--traces", out, "--rows", 1_000_000)
    assert "1,000,000" in planned.out
    assert "measured on 20 rollouts" in planned.out
    assert not list(out.glob("*/run.json"))  # planning writes nothing


def test_the_rates_are_of_all_sessions_of_the_recipe(tmp_path: Path) -> None:
    run.distill(write_cohort(tmp_path / "cohort", 100), tmp_path / "out", RECIPE)
    path = tmp_path / "out" / "progress" / f"{RECIPE.digest}.jsonl"
    sample = {"seconds": 50.0, "rows": 200, "kept": 9, "attempts": 9, "tokens_in": 1, "tokens_out": 1}
    path.write_text(json.dumps(sample | {"tokens_cached": 0}) + "\n")
    pilot = read_pilot(tmp_path / "out", RECIPE)
    assert pilot and pilot.rows_per_second == 4.0


def test_a_plan_needs_rows_from_somewhere(deepicd: Deepicd) -> None:
    assert "Name a cohort, or a number of rows" in deepicd("plan").err
    assert "need a cohort" in deepicd("plan", "--rows", "100", "--guidelines", "nothere").err


def test_every_stage_has_its_line_and_what_gives_way_first_comes_first(deepicd: Deepicd) -> None:
    out = deepicd("plan", "--rows", 93_142).out
    lines = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in out.splitlines() if line[:1] == "|"]
    stages = {"build", "scrape", "distill", "judge", "verify", "assemble", "train sft", "train grpo", "card", "publish"}
    assert {line[0] for line in lines[2:]} == stages
    [sft] = [line for line in lines if line[0] == "train sft"]
    # 65,199 rows × (1,500 + 165 + 668) tokens × 8 × 7.6e9 operations, at 40 % and 12 % of 989e12 per second
    assert sft[1:4] == ("152.1 M tokens, 7B", "6 to 22 GPU-hours", "97 minutes to 5.4 hours on 4")
    limits = find_limits(assume_workload(93_142, load_recipe(Path("qwen2.5-32b"))), load_recipe(Path("qwen2.5-32b")))
    assert limits == sorted(limits) and "32B-Instruct needs more than a week" in limits[0].what
    eight = find_limits(assume_workload(93_142, RECIPE), RECIPE.replace(rollouts=8))
    assert eight[0].rows < limits[0].rows / 2


def test_the_readme_shows_what_plan_prints(deepicd: Deepicd) -> None:
    def read_cells(text: str) -> list[list[str]]:
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]

    printed = read_cells(deepicd("plan", "--rows", 93_142).out)
    shown = read_cells(Path("README.md").read_text(encoding="utf-8"))
    assert [line for line in printed[2:] if line not in shown] == []
