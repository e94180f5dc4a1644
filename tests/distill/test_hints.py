"""Rejected traces go back for another attempt, told why and nothing of the outcome; the others are left alone."""

import json
import re
from pathlib import Path

import pytest
from cohorts import rows_in, write_cohort
from copies import discharge, note, stay, write_copy

from builders.cohort.build import build
from builders.dataset.assemble import assemble
from cards.bundle import write_bundle
from cards.hub.recipe_files import describe_stages
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import Code
from deepicd.storage import Origin
from distill.hints import ROUNDS, add_hint, phrase, read_rejections
from distill.preview import describe_job
from distill.recipe import Recipe
from distill.run import Job, distill
from distill.sources import open_sources
from distill.verification.recipe import load_recipe
from distill.verification.rows import HINTS
from distill.verification.run import VerifyJob, verify
from scrapers.crawl import TERMS, _list_options
from scrapers.crawl_plan import CrawlPlan
from scrapers.site import GESUND_URL, Site

RECIPE = Recipe(name="t", engine="rehearsal", model="none", rollouts=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hints")
    stays = range(20000001, 20000016)
    text = note("Cough", "A cough for two days. She is pale and denies fever. It began after a long flight.")
    diagnoses = [row for hadm_id in stays for row in stay(hadm_id, [(1, "J189"), (2, "I2699")])]
    build(
        write_copy(folder / "copy", diagnoses, [discharge(h, text) for h in stays]), folder / "copy", folder / "cohort"
    )
    return folder


def test_only_rejected_rollouts_are_written_anew_and_know_why(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "traces"
    distill(root / "cohort", out, RECIPE, rehearse=True)
    before = {(row["note_id"], row["rollout"]): row for row in rows_in(out / RECIPE.digest / "kept")}
    recipe = load_recipe(Path("rehearsal")).replace(least_answer="category", least_met=0.0)
    verify(VerifyJob(out, tmp_path / "checked", recipe, rehearse=True))
    sources = open_sources(root / "cohort", None, None)
    hints = phrase(read_rejections(tmp_path / "checked", RECIPE, out, sources))
    failed = {(note_id, rollout + 1) for note_id, of_note in hints.items() for rollout in of_note}
    assert failed
    assert failed < before.keys() or failed == before.keys()
    with pytest.raises(DeepicdError, match="--overwrite"):
        distill(root / "cohort", out, RECIPE, rehearse=True, hints=tmp_path / "checked")
    assert not (out / "hints").exists()
    job = Job(root / "cohort", out, RECIPE, hints=tmp_path / "checked")
    assert f"\n{len(failed)} rollouts of {len(hints)} rows were rejected" in describe_job(job)
    record = distill(root / "cohort", out, RECIPE, rehearse=True, hints=tmp_path / "checked", overwrite=True)
    [kept] = (out / "hints").iterdir()
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert kept.stem == record.options["hints"]
    after = {(row["note_id"], row["rollout"]): row for row in rows_in(out / RECIPE.digest / "kept")}
    for key, row in after.items():
        if key in before:
            assert (row["prompt_sha256"] != before[key]["prompt_sha256"]) is (key in failed)
            assert (row["trace"] == before[key]["trace"]) is (key not in failed)
    for of_note in hints.values():
        assert set(of_note.values()) == {HINTS["does not lead to the diagnosis"]}


def test_nothing_that_others_receive_has_a_digest_by_which_ids_or_small_counts_can_be_tried(
    root: Path, tmp_path: Path
) -> None:
    cohort, out, dataset = root / "cohort", tmp_path / "traces", tmp_path / "dataset"
    distill(cohort, out, RECIPE, rehearse=True)
    recipe = load_recipe(Path("rehearsal")).replace(least_answer="category", least_met=0.0)
    verify(VerifyJob(out, tmp_path / "checked", recipe, rehearse=True))
    hinted = distill(cohort, out, RECIPE, rehearse=True, hints=tmp_path / "checked", overwrite=True)
    assembled = assemble(cohort, out, dataset)
    write_bundle(dataset, tmp_path / "bundle", notes=False)
    site, codes = Site.parse(GESUND_URL, "de"), (Code("I2699"), Code("J189"))
    crawl = records.plan_run("scrape", options=_list_options(site, CrawlPlan(codes)), inputs={})
    with records.open_fresh_folder(tmp_path / "scrape", crawl, "public") as crawled:
        crawled.notes = ["Pages without an answer: 2 (2 × 404).", TERMS]
    assembled = assembled.model_copy(update={"lineage": assembled.lineage | {"scrape": crawled.record}})
    scrape = describe_stages(assembled)["scrape"]
    assert isinstance(scrape, dict) and "codes" not in scrape["options"] and scrape["notes"] == [TERMS]
    records_for_others = [
        *(storage.read_json(tmp_path / "bundle" / name) for name in ("run.json", "bundle.json")),
        records.make_portable(assembled.dump()),  # what `publish --what rows` sends
        describe_stages(assembled),
    ]
    keys = {record.key for record in (assembled, *assembled.lineage.values())}
    small = [dataset / "run.json", *(cohort / name for name in ("splits.csv", "excluded.parquet", "funnel.json"))]
    assert hinted.key in keys
    secret = {hinted.options["hints"], crawl.options["codes_sha256"], *keys, *map(storage.digest_path, small)}
    for record in records_for_others:
        assert not secret & set(re.findall(r"\b[0-9a-f]{64}\b", json.dumps(record)))
    assert storage.digest_path(cohort / "train.parquet") in json.dumps(records_for_others[0])
    assert write_bundle(dataset, tmp_path / "bundle", notes=False).key  # a second run finds the first one's output


def test_hints_of_another_recipes_traces_are_refused(root: Path, tmp_path: Path) -> None:
    distill(root / "cohort", tmp_path / "traces", RECIPE, rehearse=True)
    verify(VerifyJob(tmp_path / "traces", tmp_path / "checked", load_recipe(Path("rules"))))
    with pytest.raises(DeepicdError, match="Give the recipe and options"):
        read_rejections(
            tmp_path / "checked",
            RECIPE.replace(seed=7),
            tmp_path / "traces",
            open_sources(root / "cohort", None, None),
        )


def test_hints_of_another_cohort_or_origin_are_refused(root: Path, tmp_path: Path) -> None:
    distill(root / "cohort", tmp_path / "traces", RECIPE, rehearse=True)
    verify(VerifyJob(tmp_path / "traces", tmp_path / "checked", load_recipe(Path("rules"))))
    cases: list[tuple[Origin, str]] = [
        ("mimic", "of another cohort"),
        ("synthetic", "from mimic records, the cohort from synth"),
    ]
    for origin, message in cases:
        other = write_cohort(tmp_path / origin, 12, origin)
        with pytest.raises(DeepicdError, match=message):
            distill(other, tmp_path / "new", RECIPE, rehearse=True, hints=tmp_path / "checked")
        assert not (tmp_path / "new").exists()


def test_further_rounds_write_anew_who_fails_again_and_going_back_asks_nothing(root: Path, tmp_path: Path) -> None:
    recipe = load_recipe(Path("rehearsal")).replace(least_answer="code", least_met=0.0)  # which no rehearsal reaches
    traces, checked = tmp_path / "traces", [tmp_path / f"checked-{number}" for number in range(ROUNDS + 1)]
    prompts: list[dict[tuple[str, int], str]] = []
    for number, folder in enumerate(checked):
        hints = {"hints": checked[number - 1]} if number else {}
        distill(root / "cohort", traces, RECIPE, rehearse=True, overwrite=True, **hints)  # type: ignore[arg-type]
        rows = rows_in(traces / RECIPE.digest / "kept")
        prompts.append({(row["note_id"], row["rollout"]): row["prompt_sha256"] for row in rows})
        verify(VerifyJob(traces, folder, recipe, rehearse=True, overwrite=True))
    always = set.intersection(*map(set, prompts))
    assert always
    failing = {
        (row["note_id"], row["rollout"]) for row in rows_in(next(checked[0].glob("*/verified"))) if row["failed_for"]
    }
    for key in always & failing:
        assert len({of_round[key] for of_round in prompts}) > 1
    assert max(len({of_round[key] for of_round in prompts}) for key in always) == ROUNDS + 1
    asked = _read_sizes(traces)
    distill(root / "cohort", traces, RECIPE, rehearse=True, overwrite=True, hints=checked[ROUNDS])  # all rounds used up
    distill(root / "cohort", traces, RECIPE, rehearse=True, overwrite=True, hints=checked[0])
    assert {
        (r["note_id"], r["rollout"]): r["prompt_sha256"] for r in rows_in(traces / RECIPE.digest / "kept")
    } == prompts[1]
    assert _read_sizes(traces) == asked


def _read_sizes(traces: Path) -> int:
    return sum(path.stat().st_size for path in (traces / "ledger").rglob("*") if path.is_file())


def test_a_round_whose_hints_are_gone_is_no_start_for_another(root: Path, tmp_path: Path) -> None:
    recipe = load_recipe(Path("rehearsal")).replace(least_answer="code", least_met=0.0)
    traces, checked = tmp_path / "traces", tmp_path / "checked"
    distill(root / "cohort", traces, RECIPE, rehearse=True)
    verify(VerifyJob(traces, checked, recipe, rehearse=True))
    distill(root / "cohort", traces, RECIPE, rehearse=True, hints=checked, overwrite=True)
    verify(VerifyJob(traces, checked, recipe, rehearse=True, overwrite=True))
    next((traces / "hints").glob("*.json")).unlink()
    with pytest.raises(DeepicdError, match="would come back"):
        distill(root / "cohort", traces, RECIPE, rehearse=True, hints=checked, overwrite=True)


def test_a_hint_stands_behind_everything_that_rows_share() -> None:
    messages = [{"role": "system", "content": "Task."}, {"role": "user", "content": "Note."}]
    assert add_hint(messages, "Weigh more.") == [messages[0], {"role": "user", "content": "Note.\n\nWeigh more."}]
    assert messages[1]["content"] == "Note."
