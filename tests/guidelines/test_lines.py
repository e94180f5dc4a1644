"""Characters of a page → lines: the layout traps, one page each."""

from pathlib import Path

import pypdfium2
import pytest
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

from guidelines.characters import read_page
from guidelines.lines import Span, StyledText, build_lines

ROMAN = ("Times-Roman", 12)


def test_words_set_apart_without_a_space_are_two_words(draw):
    (line,) = draw([(72, 100, "Alphabetic", *ROMAN), (126, 100, "Index", *ROMAN)])
    assert line.text == "Alphabetic Index"


def test_a_word_drawn_in_two_pieces_is_one_word(draw):
    (line,) = draw([(72, 100, "subcate", *ROMAN), (72 + stringWidth("subcate", *ROMAN), 100, "gories", *ROMAN)])
    assert line.text == "subcategories"


def test_a_raised_ordinal_stays_in_its_line(draw):
    after = 72 + stringWidth("any 7", *ROMAN)
    lines = draw(
        [(72, 100, "any 7", *ROMAN), (after, 95.6, "th", "Times-Roman", 8), (after + 10, 100, "digit", *ROMAN)]
    )
    assert [line.text for line in lines] == ["any 7th digit"]


def test_a_label_far_from_its_title_is_on_the_same_line(draw):
    (line,) = draw([(102, 100, "A.", "Helvetica-Bold", 14), (130, 100, "Conventions", "Helvetica-Bold", 14)])
    assert line.text == "A. Conventions"


def test_lines_come_from_top_to_bottom_whatever_the_order_of_drawing(draw):
    lines = draw([(311, 749, "footer", "Times-Roman", 10), (72, 114, "second", *ROMAN), (72, 100, "first", *ROMAN)])
    assert [line.text for line in lines] == ["first", "second", "footer"]


def test_bold_and_italics_are_kept_as_spans(draw):
    (line,) = draw(
        [(72, 100, "code", *ROMAN), (98, 100, "E10.A-", "Times-Bold", 12), (140, 100, "See", "Times-Italic", 12)]
    )
    assert line.content == StyledText("code E10.A- See", (Span(5, 11, "bold"), Span(12, 15, "italics")))


def test_a_stroke_close_under_a_word_underlines_it(tmp_path: Path):
    canvas = Canvas(str(tmp_path / "page.pdf"), pagesize=(612, 792))
    canvas.setFont(*ROMAN)
    canvas.drawString(72, 692, "Items moved within")
    left = 72 + stringWidth("Items ", *ROMAN)
    canvas.rect(left, 690, stringWidth("moved", *ROMAN), 0.6, fill=1, stroke=0)
    canvas.rect(72, 680, 400, 0.6, fill=1, stroke=0)  # the rule of a table, further down
    canvas.save()
    with pypdfium2.PdfDocument(tmp_path / "page.pdf") as pdf:
        page = read_page(pdf[0], 1)
    (line,) = build_lines(page.runs, page.underlines)
    assert line.content == StyledText("Items moved within", (Span(6, 11, "underline"),))


def test_a_bullet_of_the_symbol_font_is_a_bullet(draw):
    (line,) = draw([(180, 100, "\u2022", "Symbol", 12), (198, 100, "Coma scale", *ROMAN)])
    assert line.is_bulleted
    assert line.text.endswith(" Coma scale")


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["the ICD-", "10-CM"], "the ICD-10-CM"),
        (["a man-", "made structure"], "a man-made structure"),
        (["categories Q00-", "Q99, Congenital"], "categories Q00-Q99, Congenital"),
        (["from category G20-", "represents"], "from category G20- represents"),
        (["subcategory O98.7-", "and Z21"], "subcategory O98.7- and Z21"),
        (["occurs --", "conditions"], "occurs -- conditions"),
        (["etiology/", "manifestation"], "etiology/ manifestation"),
    ],
)
def test_line_ends_are_joined_as_they_were_broken(lines, text):
    assert StyledText.join(StyledText(line) for line in lines).text == text


def test_a_mark_over_a_line_end_is_one_mark():
    lines = [StyledText("Codes for COVID-", (Span(6, 16, "bold"),)), StyledText("19 infection", (Span(0, 2, "bold"),))]
    assert StyledText.join(lines) == StyledText("Codes for COVID-19 infection", (Span(6, 18, "bold"),))


def test_marks_move_with_the_text_when_its_bullet_is_taken_off():
    assert StyledText("• R05.1, Acute", (Span(0, 7, "bold"),)).drop_prefix(1) == StyledText(
        "R05.1, Acute", (Span(0, 5, "bold"),)
    )
