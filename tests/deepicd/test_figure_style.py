"""All figures have one look, and titles that say what they show and nothing that is withheld."""

from pathlib import Path

import matplotlib as mpl
import pytest
from conftest import REPOSITORY

from cards import figures
from deepicd.figure_style import describe_f1, name_chapter, open_figure, set_title
from deepicd.icd10cm import SHORT_NAMES


def draw(path: Path) -> bytes:
    with open_figure(path, 2.0) as figure:
        axes = figure.add_subplot()
        axes.plot([1, 2], [3, 4])
        set_title(axes, "It rises", "values by step")
    return path.read_bytes()


def test_a_users_settings_of_matplotlib_change_no_figure(tmp_path: Path) -> None:
    plain = draw(tmp_path / "plain.png")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.dpi": 30}):
        assert draw(tmp_path / "other.png") == plain


def test_a_chapter_has_a_short_name_and_a_row_of_rare_ones_its_own() -> None:
    assert name_chapter("XVIII", "Symptoms, signs and abnormal clinical …") == "XVIII  Symptoms, signs"
    assert name_chapter("other", "chapters: VII, VIII") == "other  chapters: VII, VIII"
    assert SHORT_NAMES["I"] == "Infections"
    assert SHORT_NAMES["XXII"] == "Special purposes"


def test_a_title_of_f1_names_the_ends_of_its_range() -> None:
    assert describe_f1([("I", 0.5), ("II", 0.75), ("IX", None)]) == "F1 ranges from 50% (Infections) to 75% (Neoplasms)"
    assert describe_f1([("I", 1.0), ("II", 1.0)]) == "F1 is 100% in each chapter that has one"
    assert describe_f1([("I", None)]) == "No chapter has an F1"


@pytest.fixture
def titles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    shown: list[str] = []
    monkeypatch.setattr(figures, "set_title", lambda axes, finding, what="": shown.append(finding))
    return shown


def test_titles_state_findings(tmp_path: Path, titles: list[str]) -> None:
    chapters = [("I", "…", 30), ("IX", "…", 60), ("XI", "…", 10)]
    figures.draw_chapter_distribution(tmp_path / "1.png", chapters, 100)
    figures.draw_chapter_spread(tmp_path / "2.png", chapters)
    figures.draw_code_frequency(tmp_path / "3.png", [("1", 30), ("2–9", 10), ("10–99", 0)])
    figures.draw_funnel(tmp_path / "4.png", [("notes", 200, {}), ("with a trace", 50, {"no form": 150})])
    assert titles == [
        "60% of the first diagnoses are in one chapter, Circulatory",
        "1 chapter holds the first third of the samples, 1 the last",
        "75% of 40 codes have one sample",
        "50 of 200 notes have a trace (25%)",
    ]


def test_no_title_is_made_of_a_withheld_count(tmp_path: Path, titles: list[str]) -> None:
    figures.draw_chapter_distribution(tmp_path / "1.png", [("I", "…", None), ("IX", "…", 60)], None)
    figures.draw_code_frequency(tmp_path / "2.png", [("1", 30), ("2–9", None)])
    figures.draw_funnel(tmp_path / "3.png", [("notes", 200, {}), ("with a trace", None, {"no form": None})])
    assert titles == [
        "First diagnoses by chapter",
        "Codes by their number of samples",
        "From discharge notes to traces",
    ]


def test_no_other_module_chooses_fonts_colours_or_sizes() -> None:
    drawing = [
        path
        for folder in ("builders", "cards", "deepicd", "distill", "guidelines", "scrapers", "train")
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        if path.name != "figure_style.py" and "matplotlib" in path.read_text(encoding="utf-8")
    ]
    strays = [path.name for path in drawing if "matplotlib.figure" in path.read_text(encoding="utf-8")]
    assert strays == []
