"""Hand a guideline PDF on as offices do, and parse it: the same JSON must come out, or a refusal that says why.

Printed smaller or on other paper, stamped, printed over, without bookmarks or fonts, with pages missing, swapped or
scanned. Each function of `DISTORTIONS` changes an open PDF.

Run: python -m benchmarks.guideline_distortions PDF [NAME...]
"""

import io
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pikepdf
from reportlab.pdfgen.canvas import Canvas

from deepicd.errors import DeepicdError
from guidelines.parse import parse_pdf

A4, LETTER = (595.3, 841.9), (612.0, 792.0)
STAMP = "Downloaded from example.org on 11/28/2026 by user 4711 for internal use only"

Distortion = Callable[[pikepdf.Pdf], None]


def wrap(pdf: pikepdf.Pdf, matrix: str) -> None:
    """Set every page within another coordinate system."""
    for page in pdf.pages:
        page.contents_add(f"q {matrix} cm\n".encode(), prepend=True)
        page.contents_add(b"\nQ")


def scale(pdf: pikepdf.Pdf, factor: float) -> None:
    width, height = LETTER
    wrap(pdf, f"{factor} 0 0 {factor} {width * (1 - factor) / 2:.2f} {height * (1 - factor) / 2:.2f}")


def set_on_a4(pdf: pikepdf.Pdf, factor: float = 1.0) -> None:
    (width, height), (old_width, old_height) = A4, LETTER
    wrap(pdf, f"{factor} 0 0 {factor} {(width - factor * old_width) / 2:.2f} {(height - factor * old_height) / 2:.2f}")
    for page in pdf.pages:
        page.mediabox = page.cropbox = pikepdf.Array([0, 0, *A4])


def build_forms(pdf: pikepdf.Pdf) -> list[pikepdf.Object]:
    """Return each page as a form. A form's content is read from its page when it is written, so from a copy."""
    pdf.save(copy := io.BytesIO())
    pages = pikepdf.open(copy).pages
    return [pdf.copy_foreign(page.as_form_xobject()) for page in pages]


def set_as_form(pdf: pikepdf.Pdf, factor: float) -> None:
    """Draw each page as a form within a new one, as tools that impose pages do."""
    for page, form in zip(pdf.pages, build_forms(pdf), strict=True):
        page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(P=form))
        page.Contents = pdf.make_stream(f"q {factor} 0 0 {factor} 40 50 cm /P Do Q".encode())


def put_two_on_a_sheet(pdf: pikepdf.Pdf) -> None:
    forms = build_forms(pdf)
    for index in range(len(forms) - 2, -1, -2):
        page = pdf.pages[index]
        page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(A=forms[index], B=forms[index + 1]))
        page.Contents = pdf.make_stream(b"q .64 0 0 .64 0 50 cm /A Do Q q .64 0 0 .64 396 50 cm /B Do Q")
        page.mediabox = page.cropbox = pikepdf.Array([0, 0, 792, 612])
        del pdf.pages[index + 1]


def stamp(
    pdf: pikepdf.Pdf,
    draw: Callable[[Canvas, int], None],
    *,
    pages: Callable[[int], bool] = lambda number: True,
    below: bool = False,
) -> None:
    """Draw on pages, counted from 1."""
    for number, page in enumerate(pdf.pages, start=1):
        if not pages(number):
            continue
        drawn = io.BytesIO()
        canvas = Canvas(drawn, pagesize=LETTER)
        draw(canvas, number)
        canvas.save()
        with pikepdf.open(drawn) as overlay:
            if below:
                page.add_underlay(overlay.pages[0], pikepdf.Rectangle(0, 0, *LETTER))
            else:
                page.add_overlay(overlay.pages[0], pikepdf.Rectangle(0, 0, *LETTER))


def draw_text(
    canvas: Canvas, number: int, *, x: float, y: float, size: float = 8, angle: float = 0, text: str = STAMP,
) -> None:  # fmt: skip
    canvas.setFont("Helvetica", size)
    canvas.translate(x, y)
    canvas.rotate(angle)
    canvas.drawString(0, 0, text.replace("{page}", str(number)))


def overprint(pdf: pikepdf.Pdf, distance: float = 0.3, pages: Callable[[int], bool] = lambda number: True) -> None:
    for number, page in enumerate(pdf.pages, start=1):
        if pages(number):
            page.contents_coalesce()
            body = page.Contents.read_bytes()
            again = f"\nq 1 0 0 1 {distance} 0 cm\n".encode()
            page.Contents = pdf.make_stream(b"q\n" + body + b"\nQ" + again + body + b"\nQ\n")


def remove_bookmarks(pdf: pikepdf.Pdf) -> None:
    del pdf.Root["/Outlines"]


def remove_tags(pdf: pikepdf.Pdf) -> None:
    """As a second PDF made from a print: no structure, no bookmarks."""
    for name in ("/StructTreeRoot", "/MarkInfo", "/Outlines"):
        if name in pdf.Root:
            del pdf.Root[name]
    for page in pdf.pages:
        kept = [
            instruction
            for instruction in pikepdf.parse_content_stream(page)
            if str(instruction.operator) not in ("BDC", "BMC", "EMC", "DP", "MP")
        ]
        page.Contents = pdf.make_stream(pikepdf.unparse_content_stream(kept))


def change_fonts(pdf: pikepdf.Pdf, change: Callable[[Any], None]) -> None:
    seen = set()
    for page in pdf.pages:
        for font in page.Resources.get("/Font", {}).values():
            if font.objgen not in seen:
                seen.add(font.objgen)
                change(font)


def remove_font_files(font: pikepdf.Dictionary) -> None:
    for own in (font, *font.get("/DescendantFonts", [])):
        for name in ("/FontFile", "/FontFile2", "/FontFile3"):
            if name in own.get("/FontDescriptor", {}):
                del own.FontDescriptor[name]


def remove_descriptor(font: pikepdf.Dictionary) -> None:
    if "/FontDescriptor" in font:
        del font["/FontDescriptor"]


def remove_name(font: pikepdf.Dictionary) -> None:
    number = font.objgen[0]
    for own in (font, *font.get("/DescendantFonts", [])):
        own.BaseFont = pikepdf.Name(f"/F{number}")
        if "/FontDescriptor" in own:
            own.FontDescriptor.FontName = own.BaseFont


def remove_unicode(font: pikepdf.Dictionary) -> None:
    """Take away what says which letters a font has: ToUnicode, and the encoding with it."""
    for name in ("/ToUnicode", "/Encoding"):
        if name in font and (name == "/ToUnicode" or font.Subtype != "/Type0"):
            del font[name]


def shift_letters(font: pikepdf.Dictionary) -> None:
    """Encode letters otherwise, as subset fonts without ToUnicode do: each glyph is one letter further on."""
    if font.Subtype != "/Type0":
        if "/ToUnicode" in font:
            del font["/ToUnicode"]
        names = [pikepdf.Name(f"/{chr(code + 1)}") for code in range(65, 90)]
        small = [pikepdf.Name(f"/{chr(code + 1)}") for code in range(97, 122)]
        font.Encoding = pikepdf.Dictionary(
            Type=pikepdf.Name.Encoding, BaseEncoding=pikepdf.Name.WinAnsiEncoding, Differences=[65, *names, 97, *small]
        )


def scan_pages(pdf: pikepdf.Pdf, *numbers: int, invisible: bool = False) -> None:
    """Replace pages by pictures; `invisible`: with recognised text."""
    image = pdf.make_stream(b"\x80", Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Image, Width=1, Height=1,
                            ColorSpace=pikepdf.Name.DeviceGray, BitsPerComponent=8)  # fmt: skip
    for number in numbers:
        page = pdf.pages[number - 1]
        picture = b"q 612 0 0 792 0 0 cm /Scan Do Q\n"
        if invisible:
            page.contents_coalesce()
            page.Contents = pdf.make_stream(picture + b"3 Tr\n" + page.Contents.read_bytes().replace(b" Tr", b" Ts"))
            page.Resources.XObject = pikepdf.Dictionary(Scan=image)
        else:
            page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(Scan=image))
            page.Contents = pdf.make_stream(picture)


def remove_page(pdf: pikepdf.Pdf, number: int) -> None:
    del pdf.pages[number - 1]


def swap_pages(pdf: pikepdf.Pdf, number: int) -> None:
    page = pdf.pages[number - 1]
    del pdf.pages[number - 1]
    pdf.pages.insert(number, page)


def rotate_pages(pdf: pikepdf.Pdf) -> None:
    for page in pdf.pages:
        page.rotate(90, relative=True)


def cut_off_footers(pdf: pikepdf.Pdf) -> None:
    """Take the lines of the footer out of every page."""
    for page in pdf.pages:
        kept, is_footer = [], False
        for instruction in pikepdf.parse_content_stream(page):
            operator = str(instruction.operator)
            is_footer = (operator == "BDC" and instruction.operands[0] == "/Artifact") or (
                is_footer and operator != "EMC"
            )
            if not (is_footer and operator in ("Tj", "TJ")):
                kept.append(instruction)
        page.Contents = pdf.make_stream(pikepdf.unparse_content_stream(kept))


def combine(*distortions: Distortion) -> Distortion:
    def distort(pdf: pikepdf.Pdf) -> None:
        for each in distortions:
            each(pdf)

    return distort


def on_pages(*numbers: int) -> Callable[[int], bool]:
    return lambda number: number in numbers


AT_TOP = partial(draw_text, x=72, y=770)
AT_FOOT = partial(draw_text, x=72, y=12, text="Printed 28 Nov 2026, copy {page}")
ASIDE = partial(draw_text, x=20, y=200, angle=90)
ACROSS = partial(draw_text, x=150, y=200, size=60, angle=45, text="CONFIDENTIAL")
OVER_TEXT = partial(draw_text, x=100, y=400, size=60, text="DRAFT")
BESIDE_A_LINE = partial(draw_text, x=8, y=500, size=6, text="uncontrolled copy")

DISTORTIONS: dict[str, Distortion] = {
    **{f"scaled to {percent} %": partial(scale, factor=percent / 100) for percent in (70, 80, 85, 90, 97, 108, 115)},
    "on A4": set_on_a4,
    "on A4, to fit": partial(set_on_a4, factor=0.94),
    "each page as a form, 85 %": partial(set_as_form, factor=0.85),
    "stamp above": partial(stamp, draw=AT_TOP),
    "stamp below": partial(stamp, draw=AT_FOOT),
    "stamp below the text layer": partial(stamp, draw=AT_FOOT, below=True),
    "stamp aside": partial(stamp, draw=ASIDE),
    "stamp beside a line": partial(stamp, draw=BESIDE_A_LINE),
    "stamp on even pages": partial(stamp, draw=AT_TOP, pages=lambda number: number % 2 == 0),
    "watermark": partial(stamp, draw=ACROSS),
    "watermark over the text": partial(stamp, draw=OVER_TEXT),
    "watermark on two pages": partial(stamp, draw=ACROSS, pages=on_pages(8, 9)),
    "received stamp on page 1": partial(stamp, draw=AT_TOP, pages=on_pages(1)),
    "note on page 9": partial(stamp, draw=BESIDE_A_LINE, pages=on_pages(9)),
    "note on page 9, untagged": combine(remove_tags, partial(stamp, draw=BESIDE_A_LINE, pages=on_pages(9))),
    "overprint": overprint,
    "overprint by a point": partial(overprint, distance=0.9),
    "overprint by two points": partial(overprint, distance=2.0, pages=on_pages(8, 9)),
    "overprint of two pages": partial(overprint, pages=on_pages(8, 9)),
    "without bookmarks": remove_bookmarks,
    "without tags and bookmarks": remove_tags,
    "without tags, scaled to 85 %": combine(remove_tags, partial(scale, factor=0.85)),
    "without tags, stamp above": combine(remove_tags, partial(stamp, draw=AT_TOP)),
    "without font files": partial(change_fonts, change=remove_font_files),
    "without font descriptors": partial(change_fonts, change=remove_descriptor),
    "without font names": partial(change_fonts, change=remove_name),
    "without ToUnicode and encodings": partial(change_fonts, change=remove_unicode),
    "letters shifted": partial(change_fonts, change=shift_letters),
    "trailing bytes": lambda pdf: None,  # see distort
    "two pages an image": lambda pdf: scan_pages(pdf, 8, 9),
    "two pages recognised": lambda pdf: scan_pages(pdf, 8, 9, invisible=True),
    "two pages on a sheet": put_two_on_a_sheet,
    "two pages swapped": partial(swap_pages, number=8),
    "one page missing": partial(remove_page, number=9),
    "one page missing, no footers": combine(cut_off_footers, partial(remove_page, number=9)),
    "last page missing": lambda pdf: remove_page(pdf, len(pdf.pages)),
    "contents missing": lambda pdf: remove_page(pdf, 2),
    "one page missing, stamp above": combine(partial(remove_page, number=9), partial(stamp, draw=AT_TOP)),
    "two pages swapped, numbered anew": combine(
        partial(swap_pages, number=8),
        partial(stamp, draw=partial(draw_text, x=72, y=770, text="Page {page} of 120")),
    ),
    "without footers": cut_off_footers,
    "rotated": rotate_pages,
}


def distort(source: Path, name: str, target: Path) -> Path:
    """Write a distorted copy of a PDF."""
    with pikepdf.open(source) as pdf:
        DISTORTIONS[name](pdf)
        pdf.save(target)
    if name == "trailing bytes":
        target.write_bytes(target.read_bytes() + b"\0" * 5000 + b"<!-- end -->\r\n")
    return target


def read_json(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json") if path.stem != "run"}


def compare(source: Path, name: str, expected: dict[str, str], folder: Path) -> str:
    """Return 'identical', 'refused: …', or 'WRONG: …'."""
    target = distort(source, name, folder / "distorted.pdf")
    with tempfile.TemporaryDirectory(dir=folder) as out:
        try:
            parse_pdf(target, Path(out))
        except DeepicdError as error:
            return f"refused: {error.what.replace(str(target), 'PDF')}"
        (year,) = Path(out).iterdir()
        written = read_json(year)
    if different := sorted(key for key in expected.keys() | written.keys() if expected.get(key) != written.get(key)):
        return f"WRONG: {len(different)} files differ: {', '.join(different[:5])}"
    return "identical"


def main(source: Path, *names: str) -> None:
    """Parse the original, then each distorted copy."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parse_pdf(source, folder / "original")
        (year,) = (folder / "original").iterdir()
        expected, wrong = read_json(year), 0
        for each in names or DISTORTIONS:
            start = time.process_time()
            result = compare(source, each, expected, folder)
            wrong += result.startswith("WRONG")
            print(f"{each:36} {time.process_time() - start:4.1f} s  {result}", flush=True)
        print(f"{wrong} wrong")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
