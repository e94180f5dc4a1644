"""Lines → paragraphs and list items. `text` lines are 12 pt, 13.8 pt apart, and the margin is at 540 pt."""

from guidelines.lines import Line, StyledText
from guidelines.sections import build_blocks, measure_right_margins

MARGIN = 540.0


def line(
    text: str, top: float, *, right: float = MARGIN - 5, page: int = 1, left: float = 72, size: float = 12
) -> Line:
    return Line(page, left, right, top, size, StyledText(text), first_word=6.0 * len(text.split()[0]))


def texts(*lines: Line) -> list[tuple[str, str]]:
    return [(block["kind"], block["text"]) for block in build_blocks(lines, {1: MARGIN, 2: MARGIN})]


def test_full_lines_close_together_are_one_paragraph():
    assert texts(line("Assign the code", 100), line("for each cause.", 113.8)) == [
        ("paragraph", "Assign the code for each cause.")
    ]


def test_a_blank_line_parts_paragraphs():
    assert [text for _, text in texts(line("First.", 100), line("Second.", 127.6))] == ["First.", "Second."]


def test_a_line_that_breaks_off_early_ends_its_paragraph():
    codes = [line("Z59.1, Inadequate housing", 100, right=230), line("Z59.5, Extreme poverty", 113.8, right=210)]
    assert len(texts(*codes)) == 2


def test_an_early_break_in_mid_sentence_ends_nothing():
    tied = [line("the guidelines of the", 100, right=480), line("R00.0 - R99 chapter", 113.8)]
    assert len(texts(*tied)) == 1
    lower = [line("designated as the principal or", 100, right=480), line("first-listed diagnosis", 113.8)]
    assert len(texts(*lower)) == 1


def test_bullets_become_items_and_their_second_lines_stay_with_them():
    listed = [
        line("assign only:", 100, right=150),
        line("• If both are documented, assign", 114.6),
        line("the code for abuse", 128.4, left=90, right=180),
        line("\uf0a7 extended stay", 143.0, right=160),
    ]
    assert texts(*listed) == [
        ("paragraph", "assign only:"),
        ("item", "If both are documented, assign the code for abuse"),
        ("item", "extended stay"),
    ]


def test_a_paragraph_goes_on_over_the_page():
    assert len(texts(line("the provider’s statement that", 710), line("the patient has it.", 61, page=2))) == 1


def test_a_finished_paragraph_does_not():
    assert len(texts(line("is sufficient.", 710, right=200), line("An exception to this", 61, page=2))) == 2


def test_another_type_size_begins_another_block():
    assert len(texts(line("query the provider for it", 700), line("Assigning the Indicator", 61, page=2, size=14))) == 2


def test_the_margin_is_where_lines_end_and_not_where_one_sticks_out():
    ends = [565.0, 540.0, 539.0, 538.0, 400.0]
    assert measure_right_margins([line("x", 100 + 14 * at, right=end) for at, end in enumerate(ends)]) == {1: 540.0}
