"""What the teacher was shown is put together again and shown only if its digest is that of the trace."""

import shutil
from pathlib import Path

from cohorts import write_cohort

from cards.reading_room.filters import Filters
from cards.reading_room.folders import find_holdings
from cards.reading_room.pages import Pages
from cards.reading_room.rows import open_rows
from cards.reading_room.server import ServerLinks
from distill.recipe import Recipe
from distill.run import distill


def render_first_row(folder: Path) -> str:
    return Pages(open_rows(find_holdings(folder / "traces")), ServerLinks(), "example").render_row(1, Filters())


def test_the_prompt_is_shown_as_it_was_sent_and_not_as_it_would_be_today(tmp_path: Path, sample_folder: Path) -> None:
    guidelines = Path(shutil.copytree(sample_folder, tmp_path / "fy2025"))
    cohort = write_cohort(tmp_path / "cohort", 4)
    distill(cohort, tmp_path / "traces", Recipe(name="test", engine="rehearsal", model="none"), guidelines=guidelines)
    page = render_first_row(tmp_path)
    assert "The prompt as it was sent" in page
    assert "Answer in exactly this form" in page
    chapter = guidelines / "chapter_09.json"
    chapter.write_text(chapter.read_text(encoding="utf-8").replace("Circulatory", "Circular"), encoding="utf-8")
    page = render_first_row(tmp_path)
    assert "The text of the guidelines that the teacher was shown is not among the files of today" in page
    assert "The prompt as it was sent" not in page
    shutil.rmtree(guidelines)
    assert "is no longer where the run found it" in render_first_row(tmp_path)
