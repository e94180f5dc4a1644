"""Withheld counts against readers who solve for them: by hand, and by trying every whole number."""

import random
from collections.abc import Hashable, Iterator

import pytest

from deepicd.small_counts import SMALLEST_CELL, Count, Counts, SolverError, suppress_small

Equation = tuple[frozenset[Hashable], int]


def one_way(**cells: int) -> Counts:
    """A table of one row with its total."""
    counts = Counts()
    for name, rows in cells.items():
        counts.show(name, [counts.add_group(name, rows)])
    counts.show("all", list(cells), cost=1e6)
    return counts


@pytest.mark.parametrize(
    ("cells", "withheld"),
    [
        ({"a": 100, "b": 40, "c": 3, "d": 0}, {"b", "c"}),  # b, or the total would give c away
        ({"a": 100, "b": 8, "c": 5}, {"b", "c"}),  # 13 between them: either may be ten
        ({"a": 100, "b": 1, "c": 1, "d": 50}, {"b", "c", "d"}),  # 2 between them are no secret
        ({"a": 100, "b": 10}, set()),
        ({"a": 100, "b": 0}, set()),
        ({"a": 9, "b": 30}, {"a", "b"}),
        ({"a": 4}, {"a", "all"}),
        ({"a": 1, "b": 2}, {"a", "b", "all"}),
    ],
)
def test_a_table_of_one_row(cells: dict[str, int], withheld: set[str]) -> None:
    assert one_way(**cells).find_withheld() == withheld


def test_a_small_difference_between_two_tables_is_withheld_too() -> None:
    """97 of 100 rows have a trace: what has none is a group of three."""
    counts = Counts()
    counts.add_group("kept", 97)
    counts.add_group("lost", 3)
    counts.show("cohort", ["kept", "lost"], cost=1e6)
    counts.show("traces", ["kept"], cost=1e5)
    counts.guard(["lost"])
    assert counts.find_withheld() == {"traces"}


def test_few_patients_with_many_stays_are_a_small_group() -> None:
    counts = Counts()
    counts.show("stays", [counts.add_group("a", 14)], people=6)
    assert counts.find_withheld() == {"stays"}


def test_what_readers_know_anyway_counts() -> None:
    """A flag that is equal to a chapter would disclose it, so another cell is withheld."""
    counts = one_way(chapter=12, other=400, small=3)
    assert counts.find_withheld() == {"chapter", "small"}
    counts.show_part("flag", 12, ["chapter", "other", "small"])
    assert counts.find_withheld() == {"chapter", "small"}
    assert counts.tie([("part", "flag")], ["chapter"])
    assert counts.find_withheld() == {"other", "small"}
    assert not counts.tie(["chapter"], ["other"])  # 12 are not 400


def equations(counts: Counts, withheld: frozenset[Hashable]) -> list[Equation]:
    """What a reader has in hand."""
    return [(count.groups, count.value) for key, count in counts.counts.items() if count.shown and key not in withheld]


def solutions(
    groups: list[Hashable], known: list[Equation], upwards: frozenset[Hashable] = frozenset()
) -> Iterator[dict[Hashable, int]]:
    """Every way to give the groups whole numbers up to 30 that the equations allow; large ones first, but `upwards`."""
    if not groups:
        yield {}
        return
    first, rest = groups[0], groups[1:]
    highest = min([30, *(value for of, value in known if first in of)])
    alone = [value for of, value in known if of == {first}]
    tried = alone[:1] or (range(highest + 1) if first in upwards else range(highest, -1, -1))
    for value in tried:
        after = [(of - {first}, total - value) if first in of else (of, total) for of, total in known]
        if all(total >= 0 and (of or total == 0) for of, total in after):
            for solution in solutions(rest, [(of, total) for of, total in after if of], upwards):
                yield {first: value} | solution


def could_be(names: frozenset[Hashable], groups: list[Hashable], known: list[Equation]) -> set[int]:
    """Values that some groups may have together: a great and a small one if these will do, else all of them."""
    order = sorted(groups, key=lambda name: name not in names)

    def total(solution: dict[Hashable, int]) -> int:
        return sum(solution[name] for name in names)

    values = {total(next(solutions(order, known))), total(next(solutions(order, known, names)))}
    if max(values) >= SMALLEST_CELL and max(values) - min(values) >= SMALLEST_CELL:
        return values
    return values | set(map(total, solutions(order, known)))


def test_the_attacker_solves_a_table_that_withholds_the_small_cell_alone() -> None:
    counts = one_way(a=28, b=14, c=3)
    groups: list[Hashable] = ["a", "b", "c"]
    assert could_be(frozenset("c"), groups, equations(counts, frozenset("c"))) == {3}
    assert could_be(frozenset("c"), groups, equations(counts, frozenset("bc"))) == {0, 17}


@pytest.mark.parametrize("seed", range(20))
def test_no_reader_who_tries_all_whole_numbers_finds_a_small_group(seed: int) -> None:
    """Two chapters × two splits × kept or not, with all their margins and a funnel, rows drawn by chance."""
    drawn = random.Random(seed)
    counts = Counts()
    cells = {
        (chapter, split, kept): drawn.choice([0, 1, 2, 3, 5, 8, 9, 11, 14, 19])
        for chapter in "IX"
        for split in ("train", "test")
        for kept in (True, False)
    }
    for cell, rows in cells.items():
        counts.add_group(cell, rows)
        counts.guard([cell])
    counts.add_group("lost", drawn.choice([1, 4, 12]))
    for chapter in "IX":
        counts.show(chapter, [cell for cell in cells if cell[0] == chapter])
        counts.show((chapter, "kept"), [cell for cell in cells if cell[0] == chapter and cell[2]])
        for split in ("train", "test"):
            counts.show((chapter, split), [cell for cell in cells if cell[:2] == (chapter, split)])
    for split in ("train", "test"):
        counts.show(split, [cell for cell in cells if cell[1] == split], cost=1e4)
    counts.show("cohort", list(cells), cost=1e5)
    counts.show("notes", [*cells, "lost"], cost=1e5)
    counts.show("lost", ["lost"])

    withheld = counts.find_withheld()
    known = equations(counts, withheld)
    assert not [value for _, value in known if 0 < value < SMALLEST_CELL]
    small = [count for count in counts.counts.values() if count.small]
    for count in small:
        values = could_be(count.groups, list(counts.groups), known)
        assert max(values) >= SMALLEST_CELL and max(values) - min(values) >= SMALLEST_CELL, (count, sorted(values))


def test_what_is_left_of_a_group_is_a_group_too() -> None:
    """97 of 100 rows carry a flag: three do not."""
    counts = one_way(a=60, b=40)
    counts.show_part("flag", 97, ["a", "b"])
    assert counts.find_withheld() == {"flag"}


def test_a_solver_that_fails_withholds_everything() -> None:
    counts = one_way(a=100, b=3)
    counts.counts["impossible"] = Count(-1, frozenset(["a"]), True, False, 0.0)  # no group has less than no rows
    with pytest.raises(SolverError, match="could not be computed"):
        counts.find_withheld()
    assert set(counts.select_published(everything=False).counts.values()) == {None}
    assert counts.select_published(everything=True)["a"] == 100


def test_a_mean_gives_two_hidden_scores_away() -> None:
    """Of 60 traces 40 have a 4; the others have 3 or 5, and the mean says how many of each."""
    counts = one_way(**{"3": 4, "4": 40, "5": 16})
    assert counts.find_withheld() == {"3", "5"}
    values = {"3": 3.0, "4": 4.0, "5": 5.0}
    assert not counts.show_mean("mean", values, 4.3, places=2, cost=1.0), "it is 4.20"
    assert counts.show_mean("mean", values, 4.2, places=2, cost=1.0)
    assert counts.find_withheld() == {"3", "5", "mean"}


def test_a_mean_of_large_values_gives_a_hidden_count_away() -> None:
    """Three of 103 cost a million each: the mean says how many they are, however large the unit."""
    counts = one_way(a=3, b=60, c=40)
    assert counts.show_mean("mean", {"a": 1e6, "b": 0.0, "c": 0.0}, 29126.21, places=2, cost=1.0)
    assert counts.find_withheld() == {"a", "c", "mean"}


def test_the_rest_of_a_part_is_small_if_it_is_of_few_patients() -> None:
    """112 stays of 100 patients: twelve further ones, and all of three patients."""
    counts = one_way(a=112)
    counts.show_part("patients", 100, ["a"], rest_people=12)
    assert counts.find_withheld() == set()
    counts.show_part("patients", 100, ["a"], rest_people=3)
    assert counts.find_withheld() == {"patients"}


def test_one_hidden_cell_hides_a_second() -> None:
    assert suppress_small({"a": 100, "b": 40, "c": 3, "d": 0}) == {"a": 100, "b": None, "c": None, "d": 0}
    assert suppress_small({"a": 100, "b": 8, "c": 3}) == {"a": 100, "b": None, "c": None}
    # 1 and 1 of a total of 102 are no secret: a third goes with them
    assert suppress_small({"a": 100, "b": 1, "c": 1, "d": 50}) == {"a": 100, "b": None, "c": None, "d": None}
    assert suppress_small({"a": 100, "b": 10}) == {"a": 100, "b": 10}
    assert suppress_small({"b": 4}) == {"b": None}
