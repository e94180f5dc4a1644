"""What card and bundle say of the config multi, and what they withhold."""

from pathlib import Path

import pytest
from conftest import Deepicd
from copies import discharge, note, stay, write_copy

from builders.cohort.build import build
from builders.dataset.assemble import AssembleOptions, assemble
from cards.bundle import write_bundle
from cards.dataset_card import write_card
from deepicd import storage
from distill import run
from distill.recipe import Recipe

RECIPE = Recipe(name="test", engine="rehearsal", model="none", attempts=1)
TEXT = "Pressure for two hours. She has HTN, T2DM and CKD, and was pale. It woke her from sleep at night."
MANY = ("I214", "I10", "E119", "N189")


def write_dataset(folder: Path, codes: list[tuple[str, ...]]) -> Path:
    """A dataset with the config multi, one stay per entry, each of another patient; it counts as credentialed."""
    stays = {20_000_001 + place: values for place, values in enumerate(codes)}
    copy = write_copy(
        folder / "copy",
        [row for hadm_id, values in stays.items() for row in stay(hadm_id, list(enumerate(values, 1)))],
        [discharge(hadm_id, note("Chest pain", TEXT)) for hadm_id in stays],
    )
    build(copy, copy, folder / "cohort")
    run.distill(folder / "cohort", folder / "traces", RECIPE, rehearse=True)
    assemble(folder / "cohort", folder / "traces", folder / "dataset", AssembleOptions(config="multi"))
    return folder / "dataset"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 stays with three other diagnoses, 60 with one, 3 with none."""
    codes = [MANY] * 300 + [MANY[:2]] * 60 + [MANY[:1]] * 3
    return write_dataset(tmp_path_factory.mktemp("several"), codes)


def test_a_card_counts_stays_by_other_diagnoses_and_withholds_what_tells_of_few(dataset: Path) -> None:
    write_card(dataset)
    counts = storage.read_json(dataset / "card" / "statistics.json")["counts"]
    shown = {name: counts[f"others/{name}"] for name in ("none", "1–2", "3–5", "6 and more")}
    assert shown["none"] is None  # three patients
    assert shown["1–2"] is None or shown["3–5"] is None  # or the three would follow from the total
    readme = (dataset / "README.md").read_text()
    assert "| other diagnoses that the admission note supports | none | 1–2 | 3–5 | 6 and more |\n|---|" in readme
    assert "| `grpo`, `multi` |" in readme and "| `multi` | several diagnoses |" in readme
    assert "withheld" in next(line for line in readme.splitlines() if line.startswith("| stays |"))


def test_a_bundle_with_notes_has_the_config_and_names_it(dataset: Path, tmp_path: Path) -> None:
    write_bundle(dataset, tmp_path / "bundle")
    assert sorted(path.name for path in (tmp_path / "bundle" / "multi").iterdir()) == sorted(
        path.name for path in (dataset / "multi").iterdir()
    )
    readme = (tmp_path / "bundle" / "README.md").read_text()
    assert "Three configurations" not in readme
    assert "| `multi/` | several diagnoses |" in readme


def test_a_bundle_without_notes_and_rehydrate_say_that_they_leave_it_out(
    dataset: Path, tmp_path: Path, deepicd: Deepicd
) -> None:
    done = deepicd("bundle", dataset, tmp_path / "bundle", "--without-notes")
    assert done.code == 0, done.err
    assert "Left out, as the bundle has no notes: the config multi." in done.out + done.err
    readme = (tmp_path / "bundle" / "README.md").read_text()
    assert "Left out, and not restored: the configuration `multi`" in readme
    assert "other diagnoses that the admission note supports" not in readme
    copy = dataset.parent / "copy"
    done = deepicd("rehydrate", tmp_path / "bundle", tmp_path / "again", "--mimic", copy, "--notes", copy)
    assert done.code == 0, done.err
    assert "The bundle left out the config multi, which the original has." in done.out
