"""Counts of an evaluation of credentialed notes: nothing small is told, by a difference neither."""

from train.evaluation.suppression import AnswerOutcome, suppress_counts, suppress_shares

LEVELS = ("chapter", "category", "full")
PROBLEMS = ["missing tag", "no answer"]


def of(*groups: tuple[int, AnswerOutcome]) -> list[AnswerOutcome]:
    return [answer for number, answer in groups for _ in range(number)]


def test_of_made_up_notes_all_is_shown() -> None:
    answers = of(
        (3, AnswerOutcome("missing tag", 0, 0)), (40, AnswerOutcome(None, 2, 3)), (57, AnswerOutcome(None, 3, 5))
    )
    shown = suppress_counts(answers, PROBLEMS, LEVELS, show_all=True)
    assert shown["predict"] == 97
    assert shown.select("problem") == {"missing tag": 3, "no answer": 0}
    assert shown.select("nil") == {"chapter": 3, "category": 3, "full": 43}
    assert shown.select("depth") == {0: 3, 1: 0, 2: 0, 3: 40, 4: 0, 5: 57, 6: 0, 7: 0}


def test_two_large_counts_do_not_tell_a_small_one_by_their_difference() -> None:
    """Of 60 NIL categories 55 have no code at all: the other five would follow."""
    answers = of(
        (55, AnswerOutcome("missing tag", 0, 0)), (5, AnswerOutcome(None, 1, 2)), (140, AnswerOutcome(None, 3, 4))
    )
    nil = suppress_counts(answers, PROBLEMS, LEVELS, show_all=False).select("nil")
    assert 60 not in nil.values() or 55 not in nil.values()


def test_answers_that_share_nothing_do_not_follow_from_those_without_a_code() -> None:
    answers = of(
        (50, AnswerOutcome("missing tag", 0, 0)), (4, AnswerOutcome(None, 3, 0)), (146, AnswerOutcome(None, 3, 4))
    )
    shown = suppress_counts(answers, PROBLEMS, LEVELS, show_all=False)
    assert shown["depth", 0] is None or (shown["predict"] is None and shown["problem", "missing tag"] is None)


def test_a_share_tells_no_small_part_no_small_rest_and_none_by_what_is_left_of_the_whole() -> None:
    wholes = {"a": 40, "b": 40, "c": 90, "d": None, "e": 50}
    parts = {"a": 3, "b": 12, "c": 45, "d": 4, "e": 0}
    assert suppress_shares(parts, wholes, show_all=False) == {"a": None, "b": None, "c": 0.5, "d": None, "e": 0}
    assert suppress_shares({"a": 37, "c": 45}, {"a": 40, "c": 90}, show_all=False) == {"a": None, "c": None}
    assert suppress_shares({"a": 20, "c": 45}, {"a": 40, "c": 90}, show_all=False) == {"a": 0.5, "c": 0.5}
    assert suppress_shares({"a": 3, "c": 0}, {"a": 40, "c": None}, show_all=True) == {"a": 0.075, "c": None}
