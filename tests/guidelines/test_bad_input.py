"""Any other input than a whole guideline is refused with a message that says what it is, and leaves nothing behind."""

from collections.abc import Callable
from pathlib import Path

import pikepdf
import pytest
from reportlab.pdfgen.canvas import Canvas

from deepicd.errors import DeepicdError
from guidelines import parse


def absent(path: Path, sample: Path) -> None:
    pass


def web_page(path: Path, sample: Path) -> None:
    path.write_text("<!DOCTYPE html><html><body>Page not found</body></html>")


def half_a_download(path: Path, sample: Path) -> None:
    path.write_bytes(sample.read_bytes()[:10_000])


def damaged(path: Path, sample: Path) -> None:
    path.write_bytes(b"%PDF-1.4\nnothing of it is left\n%%EOF\n")


def encrypted(path: Path, sample: Path) -> None:
    with pikepdf.open(sample) as pdf:
        pdf.save(path, encryption=pikepdf.Encryption(owner="owner", user="reader"))


def scan(path: Path, sample: Path) -> None:
    pdf = pikepdf.new()
    pdf.add_blank_page()
    pdf.save(path)


def another_document(path: Path, sample: Path) -> None:
    canvas = Canvas(str(path))
    canvas.drawString(72, 700, "ICD-10-PCS Official Coding Guidelines, FY 2025")
    canvas.save()


def without_a_year(path: Path, sample: Path) -> None:
    canvas = Canvas(str(path))
    canvas.drawString(72, 700, "ICD-10-CM Official Guidelines for Coding and Reporting")
    canvas.save()


def without_chapters_3_to_7(path: Path, sample: Path) -> None:
    with pikepdf.open(sample) as pdf:
        del pdf.pages[6]
        pdf.save(path)


def without_the_front_page(path: Path, sample: Path) -> None:
    with pikepdf.open(sample) as pdf:
        del pdf.pages[0]
        pdf.save(path)


def without_page_10(path: Path, sample: Path) -> None:
    with pikepdf.open(sample) as pdf:
        del pdf.pages[9]
        pdf.save(path)


def with_a_page_twice(path: Path, sample: Path) -> None:
    with pikepdf.open(sample) as pdf:
        pdf.pages.insert(9, pdf.pages[9])
        pdf.save(path)


def with_two_pages_swapped(path: Path, sample: Path) -> None:
    with pikepdf.open(sample) as pdf:
        page = pdf.pages[9]
        del pdf.pages[9]
        pdf.pages.insert(10, page)
        pdf.save(path)


def with_a_page_on_its_side(path: Path, sample: Path) -> None:
    with pikepdf.open(sample) as pdf:
        pdf.pages[5].rotate(90, relative=True)
        pdf.save(path)


def with_a_page_set_on_its_side(path: Path, sample: Path) -> None:
    """Its text runs upwards, without a rotation in the page's dictionary."""
    with pikepdf.open(sample) as pdf:
        pdf.pages[5].contents_add(b"q 0 1 -1 0 700 0 cm", prepend=True)
        pdf.pages[5].contents_add(b"Q")
        pdf.save(path)


def with_a_scanned_page(path: Path, sample: Path) -> None:
    canvas = Canvas(str(path))
    canvas.rect(72, 72, 400, 600)
    canvas.save()
    with pikepdf.open(path, allow_overwriting_input=True) as scan, pikepdf.open(sample) as pdf:
        pdf.pages[5] = scan.pages[0]
        pdf.save(path)


def without_bookmarks(spoil: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
    def spoiled(path: Path, sample: Path) -> None:
        spoil(path, sample)
        with pikepdf.open(path, allow_overwriting_input=True) as pdf:
            del pdf.Root["/Outlines"]
            pdf.save(path)

    return spoiled


def a_folder(path: Path, sample: Path) -> None:
    path.mkdir()


INCOMPLETE = [
    (without_page_10, "but it is not complete; missing: page 10 of 12"),
    (with_a_page_twice, "but it is not complete; repeated: page 10"),
    (with_two_pages_swapped, "but it is not complete; out of order: page 10"),
    (with_a_page_on_its_side, "cannot be read in order: page 6 of the file is rotated"),
    (with_a_page_set_on_its_side, "cannot be read in order: page 6 of the file is rotated"),
    (with_a_scanned_page, "cannot be read in order: page 6 of the file is without text"),
]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        *INCOMPLETE,
        *((without_bookmarks(spoil), message) for spoil, message in INCOMPLETE),
        (absent, "There is no file"),
        (a_folder, "bad.pdf is a folder, not a PDF file"),
        (web_page, "is not a PDF but a web page"),
        (half_a_download, "is cut off: after 10,000 bytes"),
        (damaged, "is a damaged PDF"),
        (encrypted, "is encrypted and opens only with a password"),
        (scan, "has 1 pages and no text on them"),
        (
            another_document,
            "its first page lacks the title “ICD-10-CM .*It begins: “ICD-10-PCS",
        ),
        (without_a_year, "its first page lacks a fiscal year"),
        (
            without_chapters_3_to_7,
            r"fiscal year 2025, \d+ sections on 11 pages, but .* page 7 of 12; missing: chapter 4, chapter 5",
        ),
        (without_the_front_page, "missing: the front page"),
    ],
)
def test_bad_input(spoil: Callable[[Path, Path], None], message: str, sample_pdf: Path, tmp_path: Path):
    spoil(bad := tmp_path / "bad.pdf", sample_pdf)
    with pytest.raises(DeepicdError, match=message) as error:
        parse.parse_pdf(bad, tmp_path / "out")
    assert error.value.advice
    assert not list(tmp_path.glob("out/**/*"))
