"""assemble --verified: the config `verified`, and which criterion chose each row's trace."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cohorts import rows_in
from conftest import Deepicd
from copies import discharge, note, stay, write_copy

from builders.cohort.build import build
from builders.dataset import selection
from builders.dataset.assemble import AssembleOptions, assemble
from cards.dataset_card import write_card
from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.schema import CONFIGS
from distill.recipe import Recipe
from distill.run import distill
from distill.verification.recipe import load_recipe
from distill.verification.run import VerifyJob, verify

REHEARSAL = load_recipe(Path("rehearsal"))


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cohort, traces with three rollouts, and their verification, of which some fail."""
    folder = tmp_path_factory.mktemp("verified")
    stays = range(20000001, 20000031)
    diagnoses = [row for hadm_id in stays for row in stay(hadm_id, [(1, "J189"), (2, "I2699")])]
    text = note("Cough", "A cough for two days. She is pale and denies fever. It began after a long flight.")
    text = text.replace("Hospital Course:\nLEAK", "Hospital Course:\n# Pulmonary embolism: given heparin.")
    copy = write_copy(folder / "copy", diagnoses, [discharge(hadm_id, text) for hadm_id in stays])
    build(copy, copy, folder / "cohort")
    distill(
        folder / "cohort",
        folder / "traces",
        Recipe(name="t", engine="rehearsal", model="none", rollouts=3),
        rehearse=True,
    )
    strict = REHEARSAL.replace(least_met=0.01, least_answer="chapter")
    verify(VerifyJob(folder / "traces", folder / "checked", strict, rehearse=True))
    return folder


def trace(rollout: int, **found: Any) -> selection.Row:
    verification = {"failed_for": [], "lift": None, "confirmed": 0, "refuted": 0, "met": None}
    values = dict.fromkeys(selection.COLUMNS, 0) | {"rollout": rollout, "words": 300, "judge_score": None}
    names = verification.keys() & found.keys()
    own = {name: value for name, value in found.items() if name not in names}
    return values | own | {"verification": verification | {name: found[name] for name in names}}


@pytest.mark.parametrize(
    ("rule", "traces", "rollout", "criterion"),
    [
        ("strongest", [trace(1, failed_for=["x"], lift=3.0), trace(2, lift=0.0)], 2, "verdict"),
        ("strongest", [trace(1, lift=0.5), trace(2, lift=2.0)], 2, "lift"),
        ("strongest", [trace(1, refuted=1, confirmed=1), trace(2, confirmed=1)], 2, "borne out"),
        ("strongest", [trace(1, met=0.5), trace(2, met=0.6)], 2, "points"),
        ("strongest", [trace(1, judge_score=3.0), trace(2, judge_score=4.0)], 2, "judge"),
        ("strongest", [trace(1), trace(2, words=200)], 2, "length"),
        ("strongest", [trace(2), trace(1)], 1, "order"),
        ("strongest", [trace(1, failed_for=["x"])], 1, "the only one"),
        ("best", [trace(1, lift=3.0), trace(2, giveaways=1)], 1, "giveaways"),
        ("first", [trace(2, lift=3.0), trace(1)], 1, "order"),
    ],
)
def test_the_criterion_that_sets_a_trace_apart_is_named(
    rule: str, traces: list[selection.Row], rollout: int, criterion: str
) -> None:
    choice = selection.choose(rule, traces)
    assert choice is not None
    assert (choice[0]["rollout"], choice[1]) == (rollout, criterion)


def test_a_row_whose_traces_all_fail_has_none_by_the_rule_verified() -> None:
    assert selection.choose("verified", [trace(1, failed_for=["x"]), trace(2, failed_for=["x", "y"])]) is None
    choice = selection.choose("verified", [trace(1, failed_for=["x"]), trace(2)])
    assert choice is not None
    assert choice[0]["rollout"] == 2


def test_the_config_has_the_rows_of_traces_and_what_was_found_of_each(outputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    record = assemble(
        outputs / "cohort", outputs / "traces", out, AssembleOptions(verified=outputs / "checked", select="strongest")
    )
    rows, traces = rows_in(out / "verified"), rows_in(out / "traces")
    assert [(row["note_id"], row["trace"]) for row in rows] == [(row["note_id"], row["trace"]) for row in traces]
    assert list(rows[0]) == CONFIGS["verified"].names
    checked = {
        (row["note_id"], row["trace_sha256"]): row for row in rows_in(next((outputs / "checked").glob("*/verified")))
    }
    for row in rows:
        found = checked[row["note_id"], storage.digest_text(row["trace"])]
        assert [row[name] for name in ("lift", "met", "failed_for", "points", "forecasts", "rollout")] == [
            found[name] for name in ("lift", "met", "failed_for", "points", "forecasts", "rollout")
        ]
        rivals = [one for one in checked.values() if one["note_id"] == row["note_id"]]
        assert row["rollouts"] == len(rivals)
        assert len(row["failed_for"]) == min(len(one["failed_for"]) for one in rivals)
    assert sum(record.counts.chosen_by.values()) == len(rows)
    assert record.counts.rows["verified"] == record.counts.rows["traces"]


def test_a_bundle_without_notes_says_that_it_leaves_the_config_out(
    outputs: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    assemble(
        outputs / "cohort",
        outputs / "traces",
        tmp_path / "dataset",
        AssembleOptions(verified=outputs / "checked", select="strongest"),
    )
    done = deepicd("bundle", tmp_path / "dataset", tmp_path / "bundle", "--without-notes")
    assert "Left out, as the bundle has no notes: the config verified." in done.out
    readme = (tmp_path / "bundle" / "README.md").read_text()
    assert "Left out, and not restored: the configuration `verified`" in readme
    assert "left out here, and its counts with it" in readme
    assert not (tmp_path / "bundle" / "card" / "selection.png").exists()
    done = deepicd(
        "rehydrate", tmp_path / "bundle", tmp_path / "out", "--mimic", outputs / "copy", "--notes", outputs / "copy"
    )
    assert "The bundle left out the config verified, which the original has." in done.out
    assert not (tmp_path / "out" / "verified").exists()


def test_the_rule_verified_leaves_no_failed_trace_for_training(outputs: Path, tmp_path: Path) -> None:
    assemble(
        outputs / "cohort",
        outputs / "traces",
        tmp_path / "all",
        AssembleOptions(verified=outputs / "checked", select="strongest"),
    )
    assemble(
        outputs / "cohort",
        outputs / "traces",
        tmp_path / "some",
        AssembleOptions(verified=outputs / "checked", select="verified"),
    )
    failed = {row["note_id"] for row in rows_in(tmp_path / "all" / "verified") if row["failed_for"]}
    kept = {row["note_id"] for row in rows_in(tmp_path / "some" / "sft")}
    assert failed
    assert kept == {row["note_id"] for row in rows_in(tmp_path / "all" / "sft")} - failed
    assert len(rows_in(tmp_path / "some" / "grpo")) == 30


def test_a_rule_without_its_verification_and_one_of_other_traces_are_refused(outputs: Path, tmp_path: Path) -> None:
    with pytest.raises(DeepicdError, match="needs what `deepicd verify` found"):
        assemble(outputs / "cohort", outputs / "traces", tmp_path / "none", AssembleOptions(select="verified"))
    verify(VerifyJob(outputs / "traces", tmp_path / "few", load_recipe(Path("rules")), limit=2))
    with pytest.raises(DeepicdError, match="The verification lacks some of these traces"):
        assemble(outputs / "cohort", outputs / "traces", tmp_path / "none", AssembleOptions(verified=tmp_path / "few"))
    assert not (tmp_path / "none").exists()


LOAD = """
import json, sys
from datasets import load_dataset
loaded = load_dataset(sys.argv[1], "verified")
print(json.dumps([loaded.num_rows, loaded["train"][0]["points"][0]["question"]]))
"""


def test_datasets_loads_the_config_by_the_cards_yaml(outputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    record = assemble(
        outputs / "cohort", outputs / "traces", out, AssembleOptions(verified=outputs / "checked", select="strongest")
    )
    write_card(out)
    done = subprocess.run(
        [sys.executable, "-c", LOAD, out], capture_output=True, text=True, check=False,
        env={"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    rows, question = json.loads(done.stdout.splitlines()[-1])
    assert rows == record.counts.rows["verified"]
    assert question.startswith("Does it")
    card = (out / "README.md").read_text()
    assert "**Verification** (`deepicd verify`, recipe `rehearsal`" in card
    assert "What only its run record counts is withheld: it is of credentialed rows." in card
    assert "| `verified` |" in card
