"""Pages of our own making, the demonstration PDF, and the real document where it is at hand."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pypdfium2
import pytest
from conftest import build_once
from reportlab.pdfgen.canvas import Canvas

from guidelines.characters import read_page
from guidelines.lines import Line, build_lines

DATA = Path(os.environ.get("DEEPICD_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
REAL = DATA / "cms-guidelines" / "icd-10-cm-guidelines-FY2025.pdf"


Text = tuple[float, float, str, str, float]
"""Left edge and baseline in points from the page's upper left corner, text, font, size."""


@pytest.fixture
def draw(tmp_path: Path) -> Callable[[Iterable[Text]], list[Line]]:
    """Draws a page and reads its lines back."""

    def drawn(texts: Iterable[Text]) -> list[Line]:
        canvas = Canvas(str(tmp_path / "page.pdf"), pagesize=(612, 792))
        for left, top, text, font, size in texts:
            canvas.setFont(font, size)
            canvas.drawString(left, 792 - top, text)
        canvas.save()
        with pypdfium2.PdfDocument(tmp_path / "page.pdf") as pdf:
            page = read_page(pdf[0], 1)
        return build_lines(page.runs, page.underlines)

    return drawn


@pytest.fixture(scope="session")
def real_pdf() -> Path:
    if not REAL.is_file():
        pytest.skip(f"the FY2025 guideline is not at {REAL}")
    return REAL


@pytest.fixture(scope="session")
def real_folder(real_pdf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from guidelines.parse import parse_pdf

    return build_once(tmp_path_factory, "real", lambda out: parse_pdf(real_pdf, out)) / "fy2025"
