"""Headings from bookmarks, and from fonts and numbering."""

from guidelines.headings import detect_headings, locate_bookmarks
from guidelines.lines import Line, Span, StyledText
from guidelines.pdf_document import Bookmark


def line(text: str, top: float, *, bold: bool = False, page: int = 1, left: float = 100, size: float = 12) -> Line:
    content = StyledText(text, (Span(0, len(text), "bold"),) if bold else ())
    return Line(page, left, left + 5 * len(text), top, size, content, first_word=20)


def summarize(headings) -> list[tuple[int, str, str]]:
    return [(heading.level, heading.label, heading.title.text) for heading in headings]


SECTION = line("Section I. Conventions", 60, bold=True, size=16)


def test_a_bookmark_is_found_on_its_page_and_nowhere_else():
    lines = [line("A. Format", 100), line("A. Format", 100, page=2), line("text", 120, page=2)]
    (heading,), unplaced = locate_bookmarks(lines, [Bookmark("A. Format", 1, 2)])
    assert (heading.first, heading.end, heading.page) == (1, 2, 2)
    assert unplaced == []


def test_a_bookmark_over_two_lines_takes_both():
    lines = [line("1. Chapter 1: Certain Infectious and", 100, bold=True), line("Parasitic Diseases", 115, bold=True)]
    (heading,), _ = locate_bookmarks(
        lines, [Bookmark("1. Chapter 1: Certain Infectious and  Parasitic Diseases", 2, 1)]
    )
    assert (heading.label, heading.title.text) == ("1.", "Chapter 1: Certain Infectious and Parasitic Diseases")
    assert heading.end == 2


def test_text_that_begins_like_a_bookmark_is_not_its_heading():
    lines = [line("1) Code O94 is for", 100), line("1) Code O94", 120, bold=True)]
    (heading,), _ = locate_bookmarks(lines, [Bookmark("1) Code O94", 4, 1)])
    assert heading.first == 1


def test_a_bookmark_whose_title_is_not_printed_is_returned():
    lost = Bookmark("B. Renamed", 1, 1)
    assert locate_bookmarks([line("B. Other", 100)], [lost]) == ([], [lost])


def test_a_label_knows_its_level_better_than_a_bookmark():
    (heading,), _ = locate_bookmarks([line("d. Dementia", 100, bold=True)], [Bookmark("d. Dementia", 4, 1)])
    assert heading.level == 3


def test_numbering_and_bold_type_make_a_heading():
    lines = [
        SECTION,
        line("A. Conventions", 100, bold=True),
        line("1. Format", 120, bold=True),
        line("Text of the section.", 140),
        line("2. Characters", 160, bold=True),
        line("a. Seventh", 180, bold=True),
        line("B. General", 200, bold=True),
    ]
    assert summarize(detect_headings(lines, 0)) == [
        (0, "Section I.", "Conventions"),
        (1, "A.", "Conventions"),
        (2, "1.", "Format"),
        (2, "2.", "Characters"),
        (3, "a.", "Seventh"),
        (1, "B.", "General"),
    ]


def test_bold_text_out_of_sequence_is_no_heading():
    lines = [SECTION, line("A. Conventions", 100, bold=True), line("C. difficile", 120, bold=True)]
    assert len(detect_headings(lines, 0)) == 2


def test_a_heading_after_one_that_is_missing_is_known_by_the_contents():
    lines = [SECTION, line("A. Conventions", 100, bold=True), line("C. Chapters", 120, bold=True)]
    assert summarize(detect_headings(lines, 0, [line("C. Chapters ......... 12", 80)]))[-1] == (1, "C.", "Chapters")


def test_a_numbered_line_in_plain_type_is_no_heading():
    lines = [SECTION, line("A. Conventions", 100, bold=True), line("1. as in the list", 120)]
    assert len(detect_headings(lines, 0)) == 2


def test_an_i_after_h_is_a_letter_and_after_a_letter_a_roman_number():
    labels = ["A.", "1.", "a.", "1)", *(f"({letter})" for letter in "abcdefghi")]
    letters = [SECTION, *(line(f"{label} Title", 100 + 20 * at, bold=True) for at, label in enumerate(labels))]
    assert summarize(detect_headings(letters, 0))[-1] == (5, "(i)", "Title")
    romans = [*letters[:6], line("(i) Negative cultures", 300), line("(ii) Urosepsis", 320)]
    assert [level for level, _, _ in summarize(detect_headings(romans, 0))[-2:]] == [6, 6]


def test_a_heading_goes_on_in_an_indented_bold_line_close_below():
    lines = [
        SECTION,
        line("A. Two or more interrelated", 100, bold=True, size=14),
        line("conditions", 116, bold=True, size=14, left=118),
        line("Changed text in bold.", 134, bold=True, left=118),
    ]
    assert summarize(detect_headings(lines, 0))[-1] == (1, "A.", "Two or more interrelated conditions")


def test_the_title_of_an_appendix_may_stand_on_a_line_of_its_own():
    body = [line("Text of usual size.", 200 + 14 * at) for at in range(5)]
    lines = [line("Appendix I", 100, bold=True, size=16), line("Present on Admission", 120, size=16), *body]
    assert summarize(detect_headings(lines, 0)) == [(0, "Appendix I", ""), (0, "", "Present on Admission")]
