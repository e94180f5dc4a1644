"""The card of a trained model: what its records say, nothing about the machine, and gaps where they say nothing."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from cohorts import write_dataset
from conftest import REPOSITORY, Deepicd
from evaluations import build_metrics

from cards.dataset_card import write_card
from cards.model_card import count_parameters
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.icd10cm import CHAPTERS
from deepicd.storage import Origin

WEIGHTS = REPOSITORY / "distill" / "tiny_teacher" / "weights"
RECIPE = {
    "name": "sft-7b",
    "model": "Qwen/Qwen2.5-7B-Instruct",
    "revision": "",
    "learning_rate": 2e-5,
    "effective_batch": 32,
    "judge_url": "http://10.0.0.7:8001/v1",
    "judge_guidelines": "/home/somebody/guidelines",
}
COUNTS = {
    "rows": {"train": 1234, "validation": 57},
    "left_out": {"too long": {"train": 3}},
    "steps": 39,
    "skipped_updates": 2,
    "losses": [{"step": step, "loss": 2 / step} for step in range(1, 40)],
    "validation_loss": {"before": 2.31, "after": 0.8},
    "tokens_per_second": 5123,
    "device": "cuda",
    "devices": 4,
}


def level(f1: float) -> dict[str, Any]:
    return {
        "macro_precision": f1 + 0.01,
        "macro_recall": f1,
        "macro_f1": f1,
        "accuracy": 0.5,
        "classes": 20,
        "interval": {"macro_f1": [f1 - 0.02, f1 + 0.02]},
    }


def chapter_row(number: int, roman: str) -> dict[str, Any]:
    """Return a row as an evaluation writes it, without a score where the chapter has too few samples."""
    empty = dict.fromkeys(("samples", "precision", "recall", "f1", "f1_interval", "category_accuracy", "full_accuracy"))
    scores = {"samples": 40 - number, "f1": 0.9 - number / 40, "f1_interval": [0.1, 0.9]} if number < 20 else {}
    return {"chapter": number, "roman": roman, "title": ""} | empty | scores


METRICS = build_metrics(
    "synthetic",
    chapter=level(0.545),
    category=level(0.144),
    full=level(0.039),
    chapters=[chapter_row(chapter.number, chapter.roman) for chapter in CHAPTERS],
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"), 30)


def trained(
    folder: Path, dataset: Path | None = None, origin: Origin = "synthetic", command: str = "train sft", **recipe: Any
) -> Path:
    """A folder as `deepicd train` leaves it."""
    inputs = {"dataset": dataset} if dataset else {}
    plan = records.plan_run(command, options=RECIPE | recipe, inputs=inputs)
    with records.open_resumable_folder(folder / "run", plan, origin) as run:
        run.counts = records.Counts(**COUNTS)
        run.notes.append("Three rows were too long and left out.")
    return folder / "run"


def test_a_model_card_tells_recipe_data_and_results_beside_the_papers(tmp_path: Path, dataset: Path) -> None:
    run = trained(tmp_path, dataset)
    storage.write_json(run / "metrics.json", METRICS)
    write_card(run)
    text = (run / "README.md").read_text()
    assert "Made by supervised fine-tuning of Qwen/Qwen2.5-7B-Instruct" in text
    assert "| chapter | 55.5 | 54.5 | 54.5 (52.5–56.5) | 50.0 | 20 |" in text
    assert "| Qwen2.5-7B, SFT + GRPO | 54.5 | 14.4 | 3.9 |" in text
    assert "| learning_rate | 2e-05 |" in text
    assert "1,234 of train, 57 of validation" in text
    assert "traces by the recipe `test`" in text
    assert "2.310 before, 0.800 after" in text
    assert "39 on 4 × cuda, 5,123 tokens/s. Updates skipped for a non-finite gradient: 2." in text
    assert "Every patient in its training data is invented" in text
    for link in re.findall(r"\]\((card/[^)]+)\)", text):
        assert (run / link).read_bytes().startswith(b"\x89PNG")
    assert {path.stem for path in (run / "card").glob("*.png")} == {"losses", "f1"}


def test_an_evaluation_that_was_copied_beside_a_made_up_training_keeps_its_origin(tmp_path: Path) -> None:
    run = trained(tmp_path)
    few = {"accuracy": 3 / 246}
    storage.write_json(run / "metrics.json", METRICS | {"chapter": level(0.1) | few, "origin": "mimic"})
    assert write_card(run).origin == "mimic"
    text = (run / "README.md").read_text()
    assert "made-up records" not in text.split("---\n")[1]  # the YAML tells of the evaluation
    assert "the results above are on other data" not in text and "246 notes" not in text
    assert "1.2" not in text.split("## Results")[-1].split("##")[0]


def test_an_evaluation_that_does_not_say_whose_notes_it_used_is_refused(tmp_path: Path) -> None:
    run = trained(tmp_path)
    storage.write_json(run / "metrics.json", {name: value for name, value in METRICS.items() if name != "origin"})
    with pytest.raises(DeepicdError, match="origin is missing"):
        write_card(run)
    assert not (run / "README.md").exists()


def test_the_yaml_has_base_model_and_metrics_as_the_hub_reads_them(tmp_path: Path) -> None:
    run = trained(tmp_path)
    storage.write_json(run / "evaluation" / "metrics.json", METRICS)
    write_card(run)
    parsed = yaml.safe_load((run / "README.md").read_text().split("---\n")[1])
    assert parsed["base_model"] == "Qwen/Qwen2.5-7B-Instruct"
    assert "license" not in parsed  # the base model's own holds
    [model] = parsed["model-index"]
    values = {metric["name"]: metric["value"] for result in model["results"] for metric in result["metrics"]}
    assert values["macro f1, full code"] == 0.039
    assert values["macro f1, chapter"] == 0.545
    assert len(values) == 12


def test_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    plan = records.plan_run("train grpo", options={"name": "bare", "model": str(WEIGHTS)}, inputs={})
    with records.open_resumable_folder(tmp_path / "run", plan, "synthetic"):
        pass
    write_card(tmp_path / "run")
    text = (tmp_path / "run" / "README.md").read_text()
    assert "reinforcement learning (GRPO) of weights" in text
    assert "This model has not been evaluated" in text
    assert "**Rows**" not in text
    assert "base_model" not in text  # a folder here is no name on the Hub
    assert "model-index" not in text


def test_the_card_names_no_path_and_no_server_of_the_machine(tmp_path: Path, dataset: Path) -> None:
    run = trained(tmp_path, dataset, model=str(tmp_path / "base-model"))
    write_card(run)
    text = (run / "README.md").read_text()
    assert str(tmp_path) not in text
    assert "somebody" not in text
    assert "10.0.0.7" not in text
    assert "of base-model" in text


def test_a_tiny_model_says_that_it_is_one(tmp_path: Path) -> None:
    run = trained(tmp_path)
    (run / "model").symlink_to(WEIGHTS)
    write_card(run)
    size = count_parameters(WEIGHTS)
    assert size is not None and 1_000_000 < size < 10_000_000
    assert f"**A tiny model** of {size / 1e6:.1f} million parameters" in (run / "README.md").read_text()


def test_a_model_that_read_credentialed_notes_is_treated_as_they_are(tmp_path: Path) -> None:
    run = trained(tmp_path, origin="mimic")
    storage.write_json(run / "metrics.json", METRICS)
    write_card(run)
    text = (run / "README.md").read_text()
    assert "Trained on credentialed data" in text
    assert "about 1,200 of train, fewer than 100 of validation" in text  # exact ones would tell of three left out
    assert "246" not in text
    assert "Three rows" not in text
    parsed = yaml.safe_load(text.split("---\n")[1])
    assert parsed["license_name"] == "physionet-credentialed-health-data-license-1.5.0"


def test_two_evaluations_or_a_file_that_is_none_are_errors(tmp_path: Path, deepicd: Deepicd) -> None:
    run = trained(tmp_path)
    for name in ("one", "two"):
        storage.write_json(run / name / "metrics.json", METRICS)
    done = deepicd("card", run)
    assert done.code == 1
    assert "holds 2 evaluations: one, two" in done.err
    (run / "metrics.json").write_text(json.dumps([1, 2]))
    done = deepicd("card", run)
    assert done.code == 1
    assert "metrics.json is not a complete" in done.err


def test_a_template_with_an_unknown_field_names_field_and_line(tmp_path: Path, dataset: Path, deepicd: Deepicd) -> None:
    own = tmp_path / "own.md.j2"
    own.write_text("# {{ title }}\n\n{{ licence }}\n{{ lisence }}\n")
    done = deepicd("card", dataset, "--template", own)
    assert done.code == 1
    assert "own.md.j2, line 4, names a field that does not exist: 'lisence' is undefined" in done.err
    assert "licence" in done.err.split("The fields of such a card: ")[1]
    assert not (dataset / "README.md").exists()
    own.write_text("{{ build.counts.funnel }}\n")  # exact counts are nobody's to print, whatever the data
    done = deepicd("card", dataset, "--template", own)
    assert done.code == 1
    assert "own.md.j2, line 1, names a field that does not exist" in done.err
    own.write_text("# {{ title }\n")
    done = deepicd("card", dataset, "--template", own)
    assert done.code == 1
    assert "own.md.j2, line 1: this is not a valid template" in done.err
    own.write_text("{{ shown['rows', 'sft', 'every'] | count }}\n")
    done = deepicd("card", dataset, "--template", own)
    assert done.code == 1
    assert "own.md.j2, line 1, cannot be filled in" in done.err
    done = deepicd("card", dataset, "--template", tmp_path / "none.j2")
    assert done.code == 1
    assert "There is no template" in done.err


def test_a_template_of_ones_own_may_use_parts_of_ours(tmp_path: Path, deepicd: Deepicd) -> None:
    run = trained(tmp_path)
    own = tmp_path / "own.md.j2"
    own.write_text('Of {{ base }}.\n\n{% include "_citation.j2" %}\n')
    done = deepicd("card", run, "--template", own)
    assert done.code == 0, done.err
    text = (run / "README.md").read_text()
    assert "Of Qwen/Qwen2.5-7B-Instruct." in text
    assert "@inproceedings{roehr2026deepicd" in text


def test_a_folder_of_another_stage_has_no_card(tmp_path: Path) -> None:
    with pytest.raises(DeepicdError, match="holds no finished run"):
        write_card(tmp_path)


def test_weights_that_are_cut_short_are_an_error_in_words(tmp_path: Path) -> None:
    run = trained(tmp_path)
    (run / "model.safetensors").write_bytes((10**6).to_bytes(8, "little") + b'{"weight"')
    with pytest.raises(DeepicdError, match="is not a complete file of weights"):
        write_card(run)


@pytest.mark.parametrize("of", ["training", "evaluation"])
def test_an_accuracy_that_would_tell_a_few_credentialed_notes_is_withheld(tmp_path: Path, of: str) -> None:
    run = trained(tmp_path, origin="mimic" if of == "training" else "synthetic")
    measured = METRICS | {"full": level(0.039) | {"accuracy": 4 / 246}}
    with records.open_resumable_folder(
        run / "evaluation", records.plan_run("evaluate", options={}, inputs={}), "mimic"
    ) as evaluation:
        storage.write_json(evaluation.folder / "metrics.json", measured)
    write_card(run)
    text = (run / "README.md").read_text()
    assert "| full code | withheld | withheld | withheld | withheld | 20 |" in text
    assert "| chapter | 55.5 | 54.5 | 54.5 (52.5–56.5) | 50.0 | 20 |" in text
    assert "246" not in text
    [model] = yaml.safe_load(text.split("---\n")[1])["model-index"]
    names = {metric["name"] for result in model["results"] for metric in result["metrics"]}
    assert "accuracy, full code" not in names
    assert "macro recall, full code" not in names
    assert "accuracy, chapter" in names


def results_of(tmp_path: Path, **scores: Any) -> str:
    run = trained(tmp_path)
    storage.write_json(run / "metrics.json", METRICS | {"origin": "mimic"} | scores)
    write_card(run)
    return (run / "README.md").read_text().split("## Results")[-1].split("DeepICD-R1, Table 3")[0]


def test_means_over_classes_are_withheld_with_the_accuracy_that_they_give_back(tmp_path: Path) -> None:
    """Of 246 notes 3 are right to the full code: recall times classes would say so."""
    patients = {"full": 3, "category": 40, "chapter": 80, "none": 123}
    levels = {"chapter": level(0.3) | {"accuracy": 123 / 246}, "category": level(0.2) | {"accuracy": 43 / 246}}
    text = results_of(tmp_path, full=level(0.1) | {"accuracy": 3 / 246}, right_patients=patients, **levels)
    assert "| full code | withheld | withheld | withheld | withheld |" in text
    assert "| chapter | 31.0 | 30.0 | 30.0 (28.0–32.0) | 50.0 |" in text
    assert "| category (three characters) | 21.0" in text


def test_the_difference_of_two_accuracies_is_a_group_too(tmp_path: Path) -> None:
    """Four answers are right to the category and not to the full code."""
    patients = {"full": 100, "category": 4, "chapter": 19, "none": 123}
    levels = {"chapter": level(0.3) | {"accuracy": 0.5}, "category": level(0.2) | {"accuracy": 104 / 246}}
    text = results_of(tmp_path, full=level(0.1) | {"accuracy": 100 / 246}, right_patients=patients, **levels)
    assert text.count("withheld | withheld") == 2, "one of the two"


def test_right_answers_of_few_patients_are_few(tmp_path: Path) -> None:
    patients = {"full": 8, "category": 40, "chapter": 80, "none": 123}
    levels = {"chapter": level(0.3) | {"accuracy": 0.5}, "category": level(0.2) | {"accuracy": 0.4}}
    text = results_of(tmp_path, full=level(0.1) | {"accuracy": 0.2}, right_patients=patients, **levels)
    assert "| full code | withheld |" in text
