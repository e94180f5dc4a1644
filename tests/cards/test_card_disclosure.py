"""The card of credentialed data as its readers see it: they get the Markdown, and solve for what it withholds."""

import json
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from cohorts import rows_in, write_dataset
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCardData
from published_card import Group, chapters_of, number, small_sums, solve, tables, what_it_says

from cards.dataset_card import write_card
from deepicd.icd10cm import CHAPTERS, Code
from deepicd.schema import SPLITS
from distill.recipe import Recipe

# Chapters with hundreds of rows, with a dozen, with one, and codes of each
CODES = ("I214",) * 40 + ("J189",) * 31 + ("C7A8",) * 3 + ("K3580", "K3580", "N179", "V00031A", "H401", "Z3A08")
ONE_ATTEMPT = Recipe(name="once", engine="rehearsal", model="none", attempts=1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_dataset(tmp_path_factory.mktemp("credentialed"), 400, "mimic", CODES, ONE_ATTEMPT)
    write_card(folder)
    return folder


@pytest.fixture(scope="module")
def card(dataset: Path) -> str:
    return (dataset / "README.md").read_text()


def true_groups(dataset: Path) -> Counter[Group]:
    """(Roman numeral, split, kept) → rows, counted from the files by other code than the card's."""
    kept = {row["note_id"] for row in rows_in(dataset / "traces")}
    groups: Counter[Group] = Counter()
    for row in rows_in(dataset / "grpo"):
        chapter = Code(row["reward_model"]["ground_truth"]).chapter.roman
        groups[chapter, row["extra_info"]["split"], row["extra_info"]["note_id"] in kept] += 1
    return groups


def test_a_card_of_credentialed_rows_shows_none_of_them(card: str) -> None:
    assert "Pressure for two hours" not in card
    assert "<details>" not in card and "## Two rows" not in card


def test_no_small_group_of_chapter_split_and_outcome_can_be_derived(dataset: Path, card: str) -> None:
    truth, said = true_groups(dataset), what_it_says(card)
    assert all(sum(truth[group] for group in groups) == value for groups, value in said)
    patients = {group: {f"{group} {n}" for n in range(rows)} for group, rows in truth.items()}  # one stay each
    small = small_sums(truth, patients)
    assert len(small) > 20
    for groups in small:
        least, most = solve(said, groups)
        assert most > 9.9 and most - least > 9.9, groups


def test_no_table_has_a_number_under_ten(card: str) -> None:
    shown = tables(card)
    assert "withheld" in str(shown["chapter"])
    cells = [cell for name in ("rows", "chapter", "samples per code") for row in shown[name][1:] for cell in row[1:]]
    cells += [cell for row in shown["step"][1:] for cell in row[1:]]
    cells += [cell for row in shown["rejected for (an attempt may have several reasons)"][1:] for cell in row[1:]]
    assert [cell for cell in cells if re.match(r"[1-9](?!\d|,)", cell)] == []


def test_rare_chapters_are_counted_together_before_cells_are_withheld(card: str) -> None:
    rows = tables(card)["chapter"][1:]
    assert len([row for row in rows if row[0].startswith("other chapters")]) == 1
    assert sorted(roman for row in rows for roman in chapters_of(row[0])) == sorted(c.roman for c in CHAPTERS)
    assert sum(cell == "withheld" for row in rows for cell in row[1:]) <= 6


def test_withheld_stands_in_tables_and_captions_only(card: str) -> None:
    prose = [line for line in card.splitlines() if "withheld" in line and not line.startswith(("|", "*"))]
    assert prose == ["Groups of fewer than 10 rows or patients are not shown: in tables and figures such a count is"
                     " *withheld*, and so is every"]  # fmt: skip


def test_the_steps_of_the_funnel_do_not_tell_a_loss_of_three(card: str) -> None:
    assert "no admission section (withheld)" in card
    rows = [number(row[1]) for row in tables(card)["step"][1:]]
    known = [value for value in rows if value is not None]
    assert not [a - b for a, b in pairwise(known) if 0 < a - b < 10]


def test_the_yaml_has_no_row_counts_where_they_would_tell_a_small_group(dataset: Path, card: str) -> None:
    parsed = yaml.safe_load(card.split("---\n")[1])
    lost = [read(dataset, "grpo")[split] - read(dataset, "sft")[split] for split in SPLITS]
    assert any(0 < rows < 10 for rows in lost)
    assert all(set(info) == {"config_name", "features"} for info in parsed["dataset_info"])
    data = DatasetCardData(**parsed)
    assert set(MetadataConfigs.from_dataset_card_data(data)) == {"traces", "sft", "grpo"}
    infos = DatasetInfosDict.from_dataset_card_data(data)
    assert infos["sft"].features is not None
    assert infos["sft"].splits is None


def read(dataset: Path, config: str) -> dict[str, int]:
    return {
        split: sum(pq.read_metadata(path).num_rows for path in (dataset / config).glob(f"{split}-*"))
        for split in SPLITS
    }


def test_the_hub_is_asked_to_hide_the_rows_and_to_ask_for_a_physionet_name(card: str) -> None:
    parsed = yaml.safe_load(card.split("---\n")[1])
    assert parsed["license"] == "other"
    assert parsed["license_name"] == "physionet-credentialed-health-data-license-1.5.0"
    assert parsed["license_link"].startswith("https://physionet.org/")
    assert parsed["viewer"] is False
    assert parsed["extra_gated_fields"]["PhysioNet user name"] == "text"


def test_figures_and_their_data_show_what_the_tables_show(dataset: Path, card: str) -> None:
    data = json.loads((dataset / "card" / "statistics.json").read_text())
    by_name = {c.roman: str(c.number) for c in CHAPTERS} | {"other": "other"}
    for title, samples, *_ in tables(card)["chapter"][1:]:
        assert data["counts"][f"chapter/{by_name[title.split(' ')[0]]}/all"] == number(samples)
    assert all(bar["traces"] == 0 or bar["traces"] >= 10 for bar in data["trace_lengths"])
    assert not [value for value in data["counts"].values() if value is not None and 0 < value < 10]
    assert "shortest – longest (Table 2) | withheld |" in card


def test_no_note_and_no_id_of_credentialed_rows_stands_in_the_card(dataset: Path, card: str) -> None:
    everything = card + (dataset / "card" / "statistics.json").read_text()
    assert "Pressure for two hours" not in everything
    assert not re.search(r"\b[12]\d{7}\b", everything)


def test_of_a_handful_of_rows_the_card_tells_no_number_at_all(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path, 9, "mimic", ("I214", "J189"))
    write_card(folder)
    card = (folder / "README.md").read_text()
    assert [number(cell) or 0 for row in tables(card)["rows"][1:] for cell in row[1:]] == [0] * 8
    assert not (folder / "card" / "trace_lengths.png").exists()
    data = json.loads((folder / "card" / "statistics.json").read_text())
    assert not [value for value in data["counts"].values() if value is not None and 0 < value < 10]
    assert data["trace_lengths"] == []
