"""Before an engine starts: which prompt each row gets, in what order, and what does not fit."""

import json
from collections import Counter
from pathlib import Path

import pytest
from cohorts import NOTE, write_cohort
from conftest import Deepicd

from deepicd.engines.ledger import digest_prompt
from deepicd.engines.tokens import TokenCounter
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.knowledge.code_knowledge import Description, Knowledge
from distill import pilot, prompt, run
from distill.attempts import describe_plan
from distill.prompt import Material
from distill.prompt_builder import PromptBuilder
from distill.recipe import Recipe

RECIPE = Recipe(name="test", engine="rehearsal", model="none")
DESCRIPTION = Description(
    code="I21", level="3", warning="medium", reasons=(), title="Akuter Myokardinfarkt", text="Ihr Herz."
)
MATERIAL = Material(NOTE, Code("I214"), "NSTEMI", DESCRIPTION, "9. Chapter 9: Circulatory")


REHEARSE = ("--recipe", "rehearsal")


def test_both_layouts_have_the_same_parts_in_their_own_order() -> None:
    texts = {layout: prompt.build_messages(MATERIAL, layout)[1]["content"] for layout in ("paper", "prefix")}
    parts = ["# Admission note", "# Diagnosis to arrive at", "# What patients are told", "# Coding guidelines"]
    places = {layout: [text.index(part) for part in parts] for layout, text in texts.items()}
    assert places["paper"] == sorted(places["paper"])
    assert places["prefix"][3] < places["prefix"][2] < places["prefix"][1] < places["prefix"][0]
    assert sorted(texts["paper"].split("\n\n")) == sorted(texts["prefix"].split("\n\n"))


def test_any_change_of_a_text_is_another_payload() -> None:
    messages = prompt.build_messages(MATERIAL, "prefix")
    assert digest_prompt(messages, "<think>\n") == digest_prompt(prompt.build_messages(MATERIAL, "prefix"), "<think>\n")
    others = [(prompt.build_messages(MATERIAL, "paper"), "<think>\n"), (messages, ""), (messages[1:], "<think>\n")]
    assert len({digest_prompt(*other) for other in [(messages, "<think>\n"), *others]}) == 4


def test_rows_are_asked_for_in_the_order_that_shares_prefixes(tmp_path: Path) -> None:
    codes = ("J189", "I214", "E119", "I5021", "J180")
    run.distill(write_cohort(tmp_path / "cohort", 100, codes=codes), tmp_path / "out", RECIPE)
    lines = [json.loads(line) for line in (tmp_path / "out" / "ledger" / "00000.jsonl").read_bytes().splitlines()]
    asked = [line["text"].rsplit("<diagnosis>", 1)[-1][:4] for line in lines if line.get("attempt") == 0]
    first = [asked.index(code) for code in ("E119", "I214", "I502", "J180", "J189")]
    assert first == sorted(first)


def test_guidelines_are_shown_in_full_in_part_or_not_at_all(sample_folder: Path) -> None:
    known, row = Knowledge(sample_folder), {"note_id": "n", "icd_code": "I214", "icd_title": "NSTEMI"}
    lengths = {}
    for wish in ("full", "relevant", "none"):
        asked = PromptBuilder(RECIPE.replace(guideline_text=wish), known, TokenCounter()).build(
            row | {"admission_note": NOTE}
        )
        assert not isinstance(asked, str)
        assert asked.guideline_text == wish
        lengths[wish] = len(asked.messages[1]["content"])
        assert ("# Coding guidelines" in asked.messages[1]["content"]) == (wish != "none")
    assert lengths["full"] > lengths["none"]
    assert lengths["full"] >= lengths["relevant"] > lengths["none"]


def test_a_prompt_over_the_context_is_shortened_or_dropped_as_the_recipe_says(sample_folder: Path) -> None:
    known, row = Knowledge(sample_folder), {"note_id": "n", "icd_code": "I214", "icd_title": "NSTEMI"}
    row["admission_note"] = NOTE
    whole = PromptBuilder(RECIPE, known, TokenCounter())
    asked = whole.build(row)
    assert not isinstance(asked, str)
    used = RECIPE.context - whole.room + whole.tokens.count(NOTE) + whole.tokens.count("NSTEMI")
    tight = RECIPE.replace(context=used + whole.tokens.count(asked.material.guidelines or "") - 1)
    shorter = PromptBuilder(tight, known, TokenCounter()).build(row)
    assert not isinstance(shorter, str)
    assert shorter.guideline_text in ("relevant", "none")
    assert shorter.material.note == NOTE  # never cut
    assert PromptBuilder(tight.replace(too_long="drop"), known, TokenCounter()).build(row) == "too long for the context"
    assert (
        PromptBuilder(RECIPE.replace(context=used - 10), known, TokenCounter()).build(row) == "too long for the context"
    )


def test_one_row_that_lacks_something_is_spoken_of_in_the_singular() -> None:
    builder = PromptBuilder(RECIPE, Knowledge(), TokenCounter())
    lines = describe_plan(Counter({"rows": 2, "without description": 2, "without guidelines": 1}), builder)
    assert lines[-2:] == ["2 rows have no description.", "1 row has no guidelines."]


def test_a_dry_run_says_what_does_not_fit_and_leaves_nothing_behind(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort = write_cohort(tmp_path / "cohort", 20, notes=["word " * 6_000])
    outcome = deepicd("distill", cohort, tmp_path / "new" / "out", *REHEARSE, "--dry-run", "--context", 8192)
    assert outcome.code == 0
    assert outcome.out.splitlines()[:3] == [
        "No language model wrote these traces: they are a rehearsal and no evidence of anything.",
        "20 rows: 0 settled in the ledger, 19 to complete.",
        "0 prompts shortened and 1 rows dropped to fit the context of 8,192 tokens less 1,024 to write,"
        " by an estimate, 3 characters per token.",
    ]
    assert "19 rows have no description." in outcome.out
    assert not (tmp_path / "new").exists()


def test_a_pilot_forecasts_and_its_rows_are_not_asked_for_again(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort, out = write_cohort(tmp_path / "cohort", 300), tmp_path / "out"
    outcome = deepicd("distill", cohort, out, *REHEARSE, "--pilot", "10%")
    assert outcome.code == 0
    assert outcome.out.splitlines()[1].startswith("Pilot: 30 rows in ")
    assert "rows per hour" in outcome.out
    assert "The 270 waiting rows: " in outcome.out
    assert "Try --pilot 256." in outcome.out
    assert not list(out.glob("*/run.json"))
    finished = deepicd("distill", cohort, out, *REHEARSE)
    assert "300 rows: 30 settled in the ledger, 270 to complete." in finished.err


@pytest.mark.parametrize("text", ["0", "-3", "0%", "101%", "many", "%", ""])
def test_a_pilot_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(DeepicdError, match="--pilot"):
        pilot.parse_share(text)


def test_any_field_of_the_recipe_can_be_set(tmp_path: Path, deepicd: Deepicd) -> None:
    cohort = write_cohort(tmp_path / "cohort", 20)
    settings = ["--set", "temperature=0.5", "--set", "attempts=1"]
    assert deepicd("distill", cohort, tmp_path / "out", *REHEARSE, *settings).code == 0
    [record] = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("*/run.json")]
    assert (record["options"]["temperature"], record["options"]["attempts"]) == (0.5, 1)
    for wrong, message in [
        ("temprature=1", "Did you mean temperature?"),
        ("top_p=2", "from 0 to 1"),
        ("seed", "--set"),
    ]:
        outcome = deepicd("distill", cohort, tmp_path / "out", *REHEARSE, "--set", wrong)
        assert outcome.code in (1, 2)
        assert message in outcome.err
