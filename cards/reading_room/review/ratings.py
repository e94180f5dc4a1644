"""What reviewers answered: OUT/ratings/NAME.jsonl, one line per form, written whole after each.

    {"origin": "synthetic", "reviewer": "ana", "item": 3, "trace": 0, "sha256": "…", "answers": {"overall": 4, …},
     "preferred": null, "at": "2026-11-29T10:00:00+00:00"}

A form that is filled in again replaces its line. The file is whole after every form, or it is the one before.
"""

import json
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from cards.reading_room.review.assignment import Review
from cards.reading_room.review.rubric import Answers
from deepicd import storage
from deepicd.errors import DeepicdError
from deepicd.storage import Origin

RATINGS = "ratings"
EQUAL = "equal"


class Rating(BaseModel):
    """One filled-in form."""

    model_config = ConfigDict(frozen=True)

    origin: Origin
    reviewer: str
    item: int
    trace: int
    sha256: str
    """Of the trace that was read."""
    answers: Answers
    preferred: int | Literal["equal"] | None = None
    """Index of the better one of two traces; None where it was not asked."""
    at: str = ""


class Ratings:
    """The ratings of one reviewer. Methods may be called from several threads."""

    def __init__(self, out: Path, reviewer: str) -> None:
        self.file = out / RATINGS / f"{reviewer}.jsonl"
        self._lock = threading.Lock()
        self._by_form = {(rating.item, rating.trace): rating for rating in read_ratings(self.file)}

    def find(self, item: int, trace: int) -> Rating | None:
        """Return the rating of a form; None where it is still open."""
        return self._by_form.get((item, trace))

    def save(self, rating: Rating) -> None:
        """Write a rating to the disk, in place of an earlier one of the same form."""
        with self._lock:
            rating = rating.model_copy(update={"at": datetime.now(UTC).isoformat(timespec="seconds")})
            kept = {**self._by_form, (rating.item, rating.trace): rating}
            write_ratings(self.file, kept.values())
            self._by_form = kept


def write_ratings(file: Path, ratings: Iterable[Rating]) -> None:
    """Write a reviewer's file; of credentialed records readable by its owner alone."""
    lines = [json.dumps(rating.model_dump(), ensure_ascii=False) for rating in ratings]
    storage.write_text(file, "".join(f"{line}\n" for line in lines))
    file.chmod(0o600)


def read_ratings(file: Path) -> list[Rating]:
    """Return a reviewer's ratings; [] without a file. Raises DeepicdError for a line that is none."""
    if not file.is_file():
        return []
    ratings = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):  # as text, a comment may hold U+2028
        try:
            ratings.append(Rating.model_validate_json(line))
        except ValidationError as error:
            raise DeepicdError(
                f"{file.name}, line {number}, is not a rating.", "Restore the file, or remove that line; it was edited."
            ) from error
    return ratings


def read_all_ratings(out: Path) -> list[Rating]:
    """Return the ratings of all reviewers, in the order of their names."""
    return [rating for file in sorted((out / RATINGS).glob("*.jsonl")) for rating in read_ratings(file)]


def read_known_ratings(out: Path, review: Review) -> list[Rating]:
    """Return the ratings of all reviewers. Raises DeepicdError for one of another form than the review has."""
    ratings = read_all_ratings(out)
    for rating in ratings:
        is_known = review.has_form(rating.item, rating.trace) and (
            not isinstance(rating.preferred, int) or review.has_form(rating.item, rating.preferred)
        )
        if not is_known:
            raise DeepicdError(
                f"{rating.reviewer}.jsonl has a rating of an item that {out} does not have.",
                "Restore the file; it was edited, or belongs to another review.",
            )
        review.rubric.parse_answers({name: str(answer) for name, answer in rating.answers.items()})
    return ratings
