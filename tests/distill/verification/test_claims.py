"""What a model says of untouched claims counts as far as its quotation stands in the outcome."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cohorts import rows_in
from copies import discharge, note, stay, write_copy
from openai_server import MODEL, openai_server

from builders.cohort.build import build
from deepicd.errors import DeepicdError
from deepicd.verification.borne_out import Stance, Verdict
from distill.recipe import Recipe
from distill.run import distill
from distill.verification.claims import read_rulings
from distill.verification.recipe import VerifyRecipe, load_recipe
from distill.verification.run import VerifyJob, verify

COURSE = "# Clot in the lung artery: blood thinner infusion. The pump function of the heart was entirely normal."
PLAIN = COURSE.lower()
CONFIRMED, REFUTED, UNTOUCHED = Verdict.CONFIRMED, Verdict.REFUTED, Verdict.UNTOUCHED
ASSERTED, WEIGHED = Stance.ASSERTED, Stance.WEIGHED
TRUE, FALSE = "Clot in the lung artery", "pump function of the heart was entirely normal"


def claim(number: int, verdict: str, quotation: str) -> dict[str, object]:
    return {"number": number, "verdict": verdict, "quotation": quotation}


@pytest.mark.parametrize(
    ("entries", "stances", "expected"),
    [
        ([claim(1, "confirmed", TRUE)], [ASSERTED], [CONFIRMED]),
        ([claim(1, "confirmed", "clot  in the\nLUNG artery.")], [ASSERTED], [CONFIRMED]),
        ([claim(1, "confirmed", "An embolism was seen on CT.")], [ASSERTED], [UNTOUCHED]),  # fabricated
        ([claim(1, "refuted", f"{FALSE}, as was the valve")], [ASSERTED], [UNTOUCHED]),  # made longer
        ([claim(1, "confirmed", "the")], [ASSERTED], [UNTOUCHED]),  # stands in any text
        ([claim(1, "confirmed", "")], [ASSERTED], [UNTOUCHED]),
        ([claim(1, "refuted", FALSE)], [ASSERTED], [REFUTED]),
        ([claim(1, "refuted", FALSE)], [WEIGHED], [UNTOUCHED]),  # to weigh is no error
        ([claim(2, "confirmed", TRUE)], [ASSERTED, ASSERTED], [UNTOUCHED, CONFIRMED]),
        ([claim(1, "confirmed", TRUE), claim(1, "refuted", FALSE)], [ASSERTED], [UNTOUCHED]),  # both
        ([claim(3, "confirmed", TRUE)], [ASSERTED], None),
        ([claim(1, "true", TRUE)], [ASSERTED], None),
        (["confirmed"], [ASSERTED], None),
        ({"1": "confirmed"}, [ASSERTED], None),
    ],
)
def test_a_ruling_counts_as_far_as_its_quotation_is_there(
    entries: Any, stances: list[Stance], expected: list[Verdict] | None
) -> None:
    rulings = read_rulings(entries, stances, PLAIN)
    assert (None if rulings is None else [verdict for verdict, _ in rulings]) == expected


def test_a_real_server_with_planted_answers(tmp_path: Path) -> None:
    """Of every four claims the server gets two right with a quotation, one right without, and makes one up."""
    stays = range(20000001, 20000021)
    text = note("Cough", "It began after a long flight.").replace(
        "Hospital Course:\nLEAK", f"Hospital Course:\n{COURSE}"
    )
    rows = [row for hadm_id in stays for row in stay(hadm_id, [(1, "R059")])]
    copy = write_copy(tmp_path / "copy", rows, [discharge(hadm_id, text) for hadm_id in stays])
    build(copy, copy, tmp_path / "cohort")
    traces = tmp_path / "traces"
    distill(tmp_path / "cohort", traces, Recipe(name="t", engine="rehearsal", model="none", rollouts=3), rehearse=True)
    rules = verify(VerifyJob(traces, tmp_path / "rules", load_recipe(Path("rules")))).counts
    left = sum(verdicts.get("untouched", 0) for verdicts in rules.forecasts.values())
    assert left >= 20
    planted: Counter[str] = Counter()

    def complete(body: dict[str, Any]) -> dict[str, Any]:
        claims = []
        for number, name in re.findall(r"^(\d+)\. It \w+ '([^'\n]+)':", body["messages"][-1]["content"], re.MULTILINE):
            kind = ("right", "right", "unquoted", "fabricated")[planted.total() % 4]
            planted[kind] += 1
            quotation = {"right": TRUE, "unquoted": "", "fabricated": f"{name} was found on day 2."}[kind]
            claims.append(claim(int(number), "confirmed", quotation))
        text = json.dumps({"claims": claims})
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}

    with openai_server() as server:
        server.completion = complete  # type: ignore[method-assign]
        recipe = VerifyRecipe(
            engine="openai_server", model=MODEL, base_url=server.url, checks=("borne out", "untouched"), in_flight=1
        )
        record = verify(VerifyJob(traces, tmp_path / "out", recipe))
        asked = len(server.asked)
        verify(VerifyJob(traces, tmp_path / "out", recipe.replace(most_refuted=0.5)))
        assert len(server.asked) == asked  # another threshold asks nothing
    found = [one for row in rows_in(tmp_path / "out" / recipe.digest / "verified") for one in row["forecasts"]]
    by_model = [one for one in found if one["by_model"]]
    assert planted.total() == left
    assert len(by_model) == planted["right"]  # precision 1 in spite of a quarter made up, recall 2 of 3 right ones
    assert {(one["verdict"], one["section"]) for one in by_model} == {("confirmed", "Brief Hospital Course")}
    assert record.counts.by_model == {"confirmed": planted["right"]}
    assert record.counts.unread == {}


def test_the_check_needs_what_it_completes() -> None:
    with pytest.raises(DeepicdError, match="Add `borne out`"):
        load_recipe(Path("rehearsal")).replace(checks=["untouched"])
    assert "untouched" not in VerifyRecipe(engine="rehearsal", model="none").checks
