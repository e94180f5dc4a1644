"""Counts of an evaluation of credentialed notes: nothing small is told, by a difference neither."""

from train.shown import Answer, counted, share

LEVELS = ("chapter", "category", "full")
PROBLEMS = ["missing tag", "no answer"]


def of(*groups: tuple[int, Answer]) -> list[Answer]:
    return [answer for number, answer in groups for _ in range(number)]


def test_of_made_up_notes_all_is_shown() -> None:
    answers = of((3, Answer("missing tag", 0, 0)), (40, Answer(None, 2, 3)), (57, Answer(None, 3, 5)))
    shown = counted(answers, PROBLEMS, LEVELS, everything=True)
    assert shown["predict"] == 97
    assert shown.under("problem") == {"missing tag": 3, "no answer": 0}
    assert shown.under("nil") == {"chapter": 3, "category": 3, "full": 43}
    assert shown.under("depth") == {0: 3, 1: 0, 2: 0, 3: 40, 4: 0, 5: 57, 6: 0, 7: 0}


def test_two_large_counts_do_not_tell_a_small_one_by_their_difference() -> None:
    """Of 60 NIL categories 55 have no code at all: the other five would follow."""
    answers = of((55, Answer("missing tag", 0, 0)), (5, Answer(None, 1, 2)), (140, Answer(None, 3, 4)))
    nil = counted(answers, PROBLEMS, LEVELS, everything=False).under("nil")
    assert 60 not in nil.values() or 55 not in nil.values()


def test_answers_that_share_nothing_do_not_follow_from_those_without_a_code() -> None:
    answers = of((50, Answer("missing tag", 0, 0)), (4, Answer(None, 3, 0)), (146, Answer(None, 3, 4)))
    shown = counted(answers, PROBLEMS, LEVELS, everything=False)
    assert shown["depth", 0] is None or (shown["predict"] is None and shown["problem", "missing tag"] is None)


def test_a_share_tells_no_small_part_and_no_small_rest() -> None:
    assert share(3, 40, everything=False) is None
    assert share(37, 40, everything=False) is None
    assert share(0, 40, everything=False) == 0
    assert share(20, 40, everything=False) == 0.5
    assert share(3, 40, everything=True) == 0.075
    assert share(0, 0, everything=True) is None
