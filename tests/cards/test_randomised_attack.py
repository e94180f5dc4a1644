"""Readers with a solver and everything that a publication holds find no group of fewer than ten rows or patients."""

import random
import re
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from cohorts import write_dataset
from published_card import EVERY, Group, Said, list_sums, number, small_sums, solve, tables, what_it_says
from scipy.optimize import LinearConstraint, milp

from cards import dataset_card
from cards.counts import collect_counts, list_chapter_rows
from cards.dataset_card import DatasetFacts, build_fields, build_statistics
from cards.dataset_statistics import Statistics
from cards.further_configs import VERDICTS, OtherDiagnoses, VerifiedStatistics, name_bucket
from cards.hub.differences import find_small_differences
from cards.hub.recipe_files import ListedRow, list_splits
from cards.rendering import render_template
from deepicd.icd10cm import CHAPTERS, Code
from deepicd.record_model import Counts, Record
from deepicd.schema import SPLITS
from deepicd.stage_records import AssembleRecord, BuildRecord, DistillRecord, FunnelStep, VerifyCounts, VerifyRecord

CODES = ("I214", "I5021", "J189", "C7A8", "K3580", "N179", "V00031A", "H401", "Z3A08", "R51", "A419", "E1165", "F329")
REASONS = ("form", "cut off", "wrong code")
FAILURES = ("refuted by the outcome", "no lift", "too easy")
CATEGORIES = ("disease", "drug", "procedure")


class Row(NamedTuple):
    """A stay: what the stages find of it."""

    patient: str
    code: str
    split: str
    kept: bool
    score: int | None
    reason: str | None
    others: int
    """Further diagnoses that its note supports."""
    forecasts: list[tuple[str, str]]
    """Category and verdict of what its trace expects."""
    failed: frozenset[str]
    """Why its trace fails its verification."""


class Cohort:
    """Stays of made-up patients drawn by chance, and what the stages count of them."""

    def __init__(self, seed: int) -> None:
        drawn = random.Random(seed)
        codes = drawn.sample(CODES, drawn.randint(2, len(CODES)))
        weights = [drawn.paretovariate(0.8) for _ in codes]
        few, most = drawn.choice([(1.0, 1), (0.95, 30), (0.5, 4)])
        self.further = random.Random(f"{seed} further")
        self.shares = {reason: self.further.choice((0.02, 0.1, 0.3)) for reason in FAILURES}
        self.rows: list[Row] = []
        for patient in range(drawn.randint(60, 220)):
            split = drawn.choices(SPLITS, (7, 1, 2))[0]
            usual = drawn.choices(codes, drawn.choice((weights, None)))[0]  # many stays are for the same disease
            for _ in range(1 if drawn.random() < few else drawn.randint(2, most)):
                kept = drawn.random() < 0.9
                score = drawn.choices((1, 2, 3, 4, 5, None), (1, 1, 5, 9, 4, 1))[0] if kept else None
                reason = None if kept else drawn.choices(REASONS, (5, 2, 1))[0]
                code = usual if drawn.random() < 0.8 else drawn.choices(codes, weights)[0]
                self.rows.append(self._draw(f"p{patient}", code, split, kept, score, reason))
        self.lost = {"not ICD-10": drawn.choice([3, 15, 40]), "too short": drawn.choice([0, 12])}
        self.lost_patients = {"not ICD-10": drawn.choice([2, 12]), "too short": 12}
        self.listed = [
            ListedRow(drawn.choice([20] + [90] * drawn.choice([2, 9, 30])), f"{n:032x}", row[2], row[0])
            for n, row in enumerate(self.rows)
        ]

    def _draw(self, *known: Any) -> Row:
        """Draw what a verification and the config multi know of a row."""
        drawn, kept = self.further, known[3]
        others = drawn.choices((0, 1, 4, 9), (1, 9, 5, 1))[0]
        kinds = drawn.choices(CATEGORIES, (20, 5, 1), k=drawn.randint(0, 2))
        forecasts = [(kind, drawn.choices(VERDICTS, (9, 1, 4))[0]) for kind in kinds]
        failed = [reason for reason, share in self.shares.items() if drawn.random() < share]
        return Row(*known, others, forecasts if kept else [], frozenset(failed if kept else ()))

    def grow(self, drawn: random.Random, patients: int) -> None:
        """Add the stays of further patients, as a later version of the records has them."""
        for place in range(patients):
            code, split, kept = drawn.choice(CODES), drawn.choices(SPLITS, (7, 1, 2))[0], drawn.random() < 0.9
            row = self._draw(f"later{place}", code, split, kept, 4 if kept else None, None if kept else "form")
            self.rows += [row] * drawn.choice((1, 1, 1, 3))
        self.listed += [ListedRow(90, f"later{n}", row[2], row[0]) for n, row in enumerate(self.rows)][-patients:]

    def count(self) -> Statistics:
        files: dict[str, dict[str, list[str]]] = {name: {} for name in ("traces", "grpo", "multi", "verified")}
        statistics, verified = Statistics(files, {}, note_words=[40], words=[100] * 30), VerifiedStatistics()
        statistics.others, statistics.verified = OtherDiagnoses(), verified
        for patient, code, split, kept, score, _, others, forecasts, failed in self.rows:
            cell = (Code(code).chapter.number, split, kept)
            statistics.cells[cell] += 1
            statistics.patients[cell][patient] += 1
            statistics.codes[code] += 1
            statistics.code_patients[code].add(patient)
            if kept:
                statistics.score_patients[score].add(patient)
                statistics.scores.update([score] if score else [])
                expected = [{"category": category, "verdict": verdict} for category, verdict in forecasts]
                found = {"note_id": f"{patient}-DS-1", "chapter": cell[0], "lift": None}
                verified.add(found | {"forecasts": expected, "failed_for": list(failed)})
            statistics.others.add(name_bucket(others), patient)
        return statistics

    def describe(self, record: AssembleRecord) -> AssembleRecord:
        """Return a record whose stages before have counted these rows."""
        build, distill = record.require_upstream(BuildRecord), record.require_upstream(DistillRecord)
        rows, left = len(self.rows), len(self.rows) + sum(self.lost.values())
        steps = [FunnelStep(step="notes", rows=left, lost={})]
        for reason, number_lost in self.lost.items():
            left -= number_lost
            steps.append(FunnelStep(step=f"not {reason}", rows=left, lost={reason: number_lost} if number_lost else {}))
        assert left == rows
        reasons = Counter(row[5] for row in self.rows if row[5])
        scores = [row[4] for row in self.rows if row[4]]
        funnel = build.counts.funnel.model_copy(update={"steps": steps})
        built = build.counts.model_copy(update={"funnel": funnel, "lost_patients": self.lost_patients})
        made = distill.counts.model_copy(
            update={"reasons": dict(reasons), "attempts_rejected_for": dict(reasons), "attempts": rows}
            | {"without_description": 0, "without_guidelines": 0, "rollouts_kept": {}}
        )
        mean = round(sum(scores) / len(scores), 2)
        judged = Counts(scored=len(scores), scores={}, mean=mean, unscored={}, recipe_digest="0")
        judge = Record(
            version="1", command="judge", key="", origin="mimic", options={"prompt": "r", "model": "m"}, inputs={},
            counts=judged, notes=["Scored 97 of 100 traces."], outputs={},
        )  # fmt: skip
        before = {"build": build.model_copy(update={"counts": built}), "judge": judge, "verify": self._verify()}
        return record.model_copy(
            update={
                "lineage": before | {"distill": distill.model_copy(update={"counts": made})},
                "inputs": record.inputs | {"verified": record.inputs["traces"]},
            }
        )

    def _verify(self) -> Record:
        verified = sum(row.kept and not row.failed for row in self.rows)
        counts = VerifyCounts(
            traces={}, verified={"all": verified}, reasons={}, forecasts={}, levels={}, lift_by_chapter={}, met=None,
            covered=0, nameable=0, tokens={}, unread={}, unanswered={}, recipe_digest="0",
        )  # fmt: skip
        return VerifyRecord(
            version="1", command="verify", key="", origin="mimic", options={"name": "rules", "checks": ["forecasts"]},
            inputs={}, counts=counts, notes=[], outputs={},
        )  # fmt: skip


def publish(cohort: Cohort, record: AssembleRecord) -> tuple[str, Counter[str], dict[str, int | None]]:
    """Return the card, the rows of each split that the recipe lists, and the counts that the journal keeps."""
    described, statistics = cohort.describe(record), cohort.count()
    rows = list_chapter_rows(statistics, merge=True)
    shown = collect_counts(statistics, described, rows).select_published(everything=False)
    facts = DatasetFacts(
        folder=Path(), record=described, statistics=statistics, chapter_rows=rows, shown=shown, bins=[]
    )
    withheld = {split for split in SPLITS if shown["rows", "grpo", split] is None}
    listed = Counter(split for _, split in list_splits(cohort.listed, credentialed=True, withheld=withheld))
    counts: Any = build_statistics(facts)["counts"]
    return render_template("dataset.md.j2", build_fields(facts)), listed, counts


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> AssembleRecord:
    return dataset_card.require_dataset(write_dataset(tmp_path_factory.mktemp("one"), 20, "mimic"))


@pytest.mark.parametrize("seed", range(8))
def test_a_solver_finds_no_small_group_in_a_publication(seed: int, record: AssembleRecord) -> None:
    cohort = Cohort(seed)
    card, listed, shown = publish(cohort, record)
    romans = {code: Code(code).chapter.roman for code in CODES}
    rows: Counter[Group] = Counter()
    patients: dict[Group, set[str]] = defaultdict(set)
    for patient, code, split, kept, *_ in cohort.rows:
        rows[romans[code], split, kept] += 1
        patients[romans[code], split, kept].add(patient)
    said = what_it_says(card)
    assert all(sum(rows[group] for group in groups) == value for groups, value in said), "the card is right"
    for groups in small_sums(rows, patients):
        least, most = solve(said, groups)
        assert most > 9.9 and most - least > 9.9, (groups, least, most)
    attack_list(cohort, listed)
    attack_scores(cohort, card)
    attack_patients(cohort, card)
    attack_reasons(cohort, card)
    attack_other_diagnoses(cohort, card)
    attack_expectations(cohort, card)
    attack_failures(cohort, card, shown)
    assert "97 of 100" not in card


@pytest.mark.parametrize("seed", range(8))
def test_a_later_version_is_named_by_the_journal_or_tells_no_small_difference(
    seed: int, record: AssembleRecord
) -> None:
    """One to forty patients more: readers subtract the two cards."""
    cohort, drawn = Cohort(seed), random.Random(seed)
    before, _, shown = publish(cohort, record)
    rows = count_rows(cohort)
    cohort.grow(drawn, drawn.choice((1, 2, 5, 12, 25, 40)))
    now, _, later = publish(cohort, record)
    found, more = find_small_differences(shown, later), count_rows(cohort)
    if more.total() - rows.total() < 10:
        assert "all rows" in found or "rows/grpo/all" in found
    if not found:
        said = [what_it_says(before), what_it_says(now)]
        for groups in list_sums():
            if 0 < sum(more[group] - rows[group] for group in groups) < 10:
                least, most = solve_difference(said, groups)
                assert max(abs(least), abs(most)) > 9.9, (groups, least, most)


def count_rows(cohort: Cohort) -> Counter[Group]:
    return Counter((Code(code).chapter.roman, split, kept) for _, code, split, kept, *_ in cohort.rows)


def solve_difference(said: list[list[Said]], wanted: set[Group]) -> tuple[float, float]:
    """The least and the most that some groups may have grown, by what two cards say."""
    known = [
        (np.array([card == which and group in groups for which in (0, 1) for group in EVERY], float), value, value)
        for card, sums in enumerate(said)
        for groups, value in sums
    ]
    inside = np.array([group in wanted for group in EVERY], float)
    return bound(np.concatenate((-inside, inside)), known)


def attack_list(cohort: Cohort, listed: Counter[str]) -> None:
    """The card's rows of a split less the listed ones are nobody, or ten patients."""
    for split, number_listed in listed.items():
        left_out = sum(row[2] == split for row in cohort.rows) - number_listed
        assert left_out == 0 or left_out >= 10
    assert all(listed[split] == 0 or listed[split] >= 10 for split in SPLITS)


def attack_scores(cohort: Cohort, card: str) -> None:
    """The scores that are shown, their total and their mean leave room for every small score."""
    cells = tables(card)["score, rounded"][1][1:]
    by_score = [[row[0] for row in cohort.rows if row[3] and row[4] == score] for score in (1, 2, 3, 4, 5, None)]
    known = [(np.eye(6)[place], n, n) for place, cell in enumerate(cells) if (n := number(cell)) is not None]
    assert all(len(by_score[int(np.argmax(row))]) == value for row, value, _ in known)
    if (total := number(tables(card)["rows"][1][-1])) is not None:
        known.append((np.ones(6), total, total))
    if " on average" in card:
        mean = float(card.split(" on average")[0].rpartition(", ")[2])
        values = np.array([1, 2, 3, 4, 5, 0]) - mean * np.array([1, 1, 1, 1, 1, 0])
        half = 0.005001 * np.array([1, 1, 1, 1, 1, 0])
        known += [(values - half, -np.inf, 0), (values + half, 0, np.inf)]
    require_room([(np.eye(6)[place], people) for place, people in enumerate(by_score)], known)


def attack_other_diagnoses(cohort: Cohort, card: str) -> None:
    """The stays by their other diagnoses, and all stays, leave room for every small number of them."""
    [_, *cells], [_, *stays] = tables(card)["other diagnoses that the admission note supports"]
    found = {name: [row.patient for row in cohort.rows if name_bucket(row.others) == name] for name in cells}
    assert sum(map(len, found.values())) == len(cohort.rows)
    known = [(np.eye(4)[place], n, n) for place, cell in enumerate(stays) if (n := number(cell)) is not None]
    if (total := number(tables(card)["rows"][2][-1])) is not None:
        known.append((np.ones(4), total, total))
    require_room([(np.eye(4)[place], patients) for place, patients in enumerate(found.values())], known)


def attack_expectations(cohort: Cohort, card: str) -> None:
    """The expectations of a category by verdict, and all of them, leave room for every small number of them."""
    for category, *cells in tables(card)["expectations"][1:]:
        found = [
            [row.patient for row in cohort.rows for each in row.forecasts if each == (category, verdict)]
            for verdict in VERDICTS
        ]
        sums = [*np.eye(3), np.ones(3)]
        known = [(sums[place], n, n) for place, cell in enumerate(cells) if (n := number(cell)) is not None]
        require_room([(row, join(found, row)) for row in sums], known)
        assert all(len(join(found, row)) == n for row, n, _ in known), "the card is right"


def attack_failures(cohort: Cohort, card: str, shown: dict[str, int | None]) -> None:
    """Readers know why traces fail, and how many are kept and verified: one rollout per row was kept."""
    sets = [frozenset(part) for size in range(4) for part in combinations(FAILURES, size)]
    found = [[row.patient for row in cohort.rows if row.kept and row.failed == each] for each in sets]
    failing = np.array([float(bool(each)) for each in sets])
    having = {reason: np.array([float(reason in each) for each in sets]) for reason in FAILURES}
    said = re.findall(rf"({'|'.join(FAILURES)}) \(([^)]+)\)", card)
    numbers = [(having[reason], number(cell)) for reason, cell in said]
    numbers += [(np.ones(8), number(tables(card)["rows"][1][-1])), (1 - failing, shown["verified traces"])]
    known = [(row, n, n) for row, n in numbers if n is not None]
    groups = [failing, 1 - failing, *having.values(), *(failing - row for row in having.values())]
    require_room([(row, join(found, row)) for row in groups], known)
    assert all(len(join(found, row)) == n for row, n, _ in known), "the card is right"


def join(found: list[list[str]], inside: Any) -> list[str]:
    """The patients of those parts, once for each row."""
    return [patient for part, is_inside in zip(found, inside, strict=True) if is_inside for patient in part]


def require_room(groups: list[tuple[Any, list[str]]], known: list[Any]) -> None:
    """Fail unless what is known leaves room for the size of every group of fewer than ten patients."""
    for wanted, patients in groups:
        if 0 < len(set(patients)) < 10:
            least, most = bound(wanted, known)
            assert most > 9.9 and most - least > 9.9, (wanted, least, most)


def bound(wanted: Any, known: list[Any]) -> tuple[float, float]:
    constraints = [LinearConstraint(row.reshape(1, -1), low, high) for row, low, high in known]
    found = [milp(sign * wanted, constraints=constraints, integrality=np.ones(len(wanted))) for sign in (1, -1)]
    least, most = (s * one.fun if one.status == 0 else -s * np.inf for s, one in zip((1, -1), found, strict=True))
    return float(least), float(most)


def attack_patients(cohort: Cohort, card: str) -> None:
    """Rows less patients are further stays: nobody's, or those of ten patients."""
    [cell] = re.findall(r"^\| patients \| ([^|]+) \|", card, re.MULTILINE)
    patients = number(cell)
    several = sum(stays > 1 for stays in Counter(row[0] for row in cohort.rows).values())
    assert patients is None or several == 0 or several >= 10


def attack_reasons(cohort: Cohort, card: str) -> None:
    """A reason that is shown is that of ten patients, and so are the losses that do not have it, and a step's."""
    for reason, *cells in tables(card).get("rejected for (an attempt may have several reasons)", [[]])[1:]:
        people = {row[0] for row in cohort.rows if row[5] == reason}
        others = {row[0] for row in cohort.rows if row[5] not in (reason, None)}
        if any(number(cell) is not None for cell in cells):
            assert len(people) >= 10
            least, most = solve(what_it_says(card), LOST)
            assert len(others) >= 10 or not others or least < most
    steps = [number(row[1]) for row in tables(card)["step"][1:4]]
    if None not in steps[:2]:
        assert cohort.lost_patients["not ICD-10"] >= 10 and cohort.lost["not ICD-10"] >= 10


LOST: list[Group] = [(c.roman, split, False) for c in CHAPTERS for split in SPLITS]
