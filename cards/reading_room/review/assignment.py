"""Who rates which trace, in which order: drawn once, written down, never changed.

    OUT/review.json     rubric, items (a note with one trace or two teachers' traces), steps of each reviewer
    OUT/run.json        what the traces are, by their digests
    OUT/ratings/…       see ratings.py

`overlap` items are rated by every reviewer, so that their agreement can be measured; the others by one each, in turn.
Each reviewer has an order of their own. Two teachers' traces are called A and B, by lot for each item and reviewer.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cards.reading_room.folders import find_holdings
from cards.reading_room.review.rubric import Rubric
from cards.reading_room.rows import Entry, Rows, open_rows
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.stage_records import ReviewCounts, ReviewRecord

PLAN = "review.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class Trace(BaseModel):
    """One trace, as it was when the review was drawn."""

    model_config = ConfigDict(frozen=True)

    row: int
    """Number of the entry in the folder."""
    recipe_digest: str
    sha256: str


class Item(BaseModel):
    """What is rated: the traces of one note."""

    model_config = ConfigDict(frozen=True)

    note_id: str
    icd_code: str
    traces: list[Trace]


class Step(BaseModel):
    """One form that a reviewer fills in."""

    model_config = ConfigDict(frozen=True)

    item: int
    trace: int
    """Index among the item's traces."""
    label: str
    """'A' or 'B', what the reviewer sees; '' for an item with one trace."""


class Review(BaseModel):
    """The plan of a review."""

    model_config = ConfigDict(frozen=True)

    seed: int
    rubric: Rubric
    items: list[Item]
    shared: int
    """The first items, which every reviewer has."""
    steps: dict[str, list[Step]]
    """Reviewer → forms in their order."""

    def has_form(self, item: int, trace: int) -> bool:
        return 0 <= item < len(self.items) and 0 <= trace < len(self.items[item].traces)


@dataclass(frozen=True)
class Draw:
    """How a review is drawn."""

    reviewers: Sequence[str]
    rows: int
    overlap: int
    pairs: bool
    seed: int


def start_review(
    path: Path, out: Path, draw: Draw, rubric: Rubric, *, cohort: Path | None = None, overwrite: bool = False
) -> ReviewRecord:
    """Draw a review of the kept traces of a folder, and return its record. Raises DeepicdError."""
    _check(draw)
    holdings = find_holdings(path, cohort)
    plan = records.plan_run(
        ReviewRecord,
        options={**vars(draw), "reviewers": list(draw.reviewers), "rubric": rubric.model_dump()},
        inputs=holdings.list_inputs(),
    )
    if done := records.find_finished(out, plan):
        return done
    rows = open_rows(holdings)
    items = _draw_items(rows, draw)
    steps = {name: _draw_steps(name, items, draw) for name in draw.reviewers}
    review = Review(seed=draw.seed, rubric=rubric, items=items, shared=min(draw.overlap, len(items)), steps=steps)
    with records.open_fresh_folder(out, plan, holdings.origin, overwrite=overwrite) as run:
        storage.write_json(run.folder / PLAN, review.model_dump())
        run.counts = ReviewCounts(
            items=len(items), shared=review.shared, forms={name: len(own) for name, own in steps.items()}
        )
    return run.record


def read_review(out: Path) -> tuple[Review, ReviewRecord]:
    """Return the plan of a review and its record. Raises DeepicdError."""
    record = records.require(out, ReviewRecord)
    advice = "Restore it from a copy: the ratings belong to that plan."
    try:
        review = Review.model_validate(storage.read_json(out / PLAN))
    except ValidationError as error:
        raise DeepicdError(f"{out / PLAN} is not the plan of a review.", advice) from error
    if not all(review.has_form(step.item, step.trace) for steps in review.steps.values() for step in steps):
        raise DeepicdError(f"{out / PLAN} has a step for an item that it does not have.", advice)
    return review, record


def _check(draw: Draw) -> None:
    if wrong := [name for name in draw.reviewers if not _NAME.fullmatch(name)]:
        raise DeepicdError(
            f"{wrong[0]!r} cannot be the name of a reviewer.",
            "Use lower-case letters, digits, - and _, up to 32 characters.",
        )
    if len(set(draw.reviewers)) < len(draw.reviewers):
        raise DeepicdError("Two reviewers have the same name.", "Give each a name of their own.")
    if draw.overlap > draw.rows:
        raise DeepicdError(
            f"Every reviewer cannot rate {draw.overlap} of {draw.rows} notes.", "Lower --overlap, or raise --rows."
        )


def _draw_items(rows: Rows, draw: Draw) -> list[Item]:
    """Return the sampled notes in random order, each with its kept traces."""
    recipes = [row["recipe_digest"] for row in rows.query(
        "select distinct recipe_digest from entries where verdict = 'kept' order by recipe_digest"
    )]  # fmt: skip
    wanted = 2 if draw.pairs else 1
    if len(recipes) != wanted:
        raise DeepicdError(
            f"A review of {'pairs' if draw.pairs else 'single traces'} needs the kept traces of"
            f" {'two recipes' if draw.pairs else 'one recipe'}, and there are those of {len(recipes)}.",
            "Point at a folder above both, with --pairs."
            if draw.pairs
            else "Point at the folder of one recipe, or add --pairs.",
        )
    condition = f"""
        verdict = 'kept' and recipe_digest = '{recipes[0]}' and note_id in (
          select note_id from entries where verdict = 'kept' group by note_id having count(*) = {wanted}
        )
    """
    chosen = rows.draw_sample(draw.rows, draw.seed, condition)
    random.Random(draw.seed).shuffle(chosen)
    items = []
    for number in chosen:
        entries = rows.query(
            "select other.* from entries as other join entries as own using (note_id)"
            " where own.row = ? and other.verdict = 'kept' order by other.recipe_digest",
            [number],
        )
        items.append(
            Item(note_id=entries[0]["note_id"], icd_code=entries[0]["icd_code"], traces=_read_traces(rows, entries))
        )
    return items


def _read_traces(rows: Rows, entries: Sequence[Entry]) -> list[Trace]:
    """Return the kept trace of each entry with its digest."""
    traces = []
    for entry in entries:
        kept = next(attempt for attempt in rows.read_attempts(entry) if attempt["verdict"] == "kept")
        digest = storage.digest_text(kept["trace"])
        traces.append(Trace(row=entry["row"], recipe_digest=entry["recipe_digest"], sha256=digest))
    return traces


def _draw_steps(name: str, items: Sequence[Item], draw: Draw) -> list[Step]:
    """Return a reviewer's forms: the shared items and every n-th of the others, in an order of their own."""
    place = list(draw.reviewers).index(name)
    own = [
        number
        for number in range(len(items))
        if number < draw.overlap or (number - draw.overlap) % len(draw.reviewers) == place
    ]
    lots = random.Random(f"{draw.seed} {name}")
    lots.shuffle(own)
    steps = []
    for number in own:
        traces = list(range(len(items[number].traces)))
        lots.shuffle(traces)
        labels = ("A", "B") if len(traces) > 1 else ("",)
        steps += [Step(item=number, trace=trace, label=label) for trace, label in zip(traces, labels, strict=True)]
    return steps
