"""How many points of its stay a trace meets, and how many of other stays, as a reward from −1 to 1.

    points = open_points(fields, Path("out/verified"))   # the judge's server, and what `deepicd verify` wrote
    points.score(note_ids, notes, texts)                 # [0.67, None, …]; never raises

Points are yes-or-no questions that a verification drew from the sealed outcome, each with a verified quotation. The
server is shown a trace and questions, never the note, the outcome or a code. Among the questions are as many of other
stays, drawn by lot and the same for every answer to a note, and a trace earns the share that it meets of its own less
the share that it meets of theirs. So a text that claims everything, that says the same under every note, or that talks
the server into yes earns nothing on average. What a trace copies from its note is left out before it is sent.
Training continues without the server (train.rewards.judge_server).
"""

import logging
import random
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from deepicd import records, storage
from deepicd.answer_form import Answer, parse_answer
from deepicd.errors import DeepicdError
from deepicd.schema import VERIFIED
from deepicd.stage_records import VerifyRecord
from deepicd.storage import Origin
from deepicd.verification.points import MET_SCHEMA, build_grading_messages, parse_met
from train.rewards.judge_server import JudgeRecipe, JudgeServer, parse_judge

MOST_OWN = 10  # points of one stay that are asked, and as many of others: together what MET_SCHEMA allows
COPIED = 6  # words in a row that stand in the note, as in deepicd.answer_form.measure_repetition

_WORD = re.compile(r"\w+")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PointsOfStay:
    """What the answers to one note are asked, in an order drawn by lot."""

    questions: tuple[str, ...]
    own: tuple[int, ...]
    """Which of them are of this stay."""
    others: tuple[int, ...]
    """Which were drawn from other stays."""


def find_points(folder: Path) -> Path:
    """Return the folder of a finished verification, given itself or the one above. Raises DeepicdError."""
    return records.find_run_folder(storage.expand_home(folder), VerifyRecord, "verified")[0]


def read_points(folder: Path) -> dict[str, list[str]]:
    """Return note → points of its stay, of the training split of a verification. Raises DeepicdError."""
    points: dict[str, list[str]] = {}
    for path in sorted((find_points(folder) / "verified").glob("train-*.parquet")):
        for row in storage.read_table(path, VERIFIED, ["note_id", "points"]).to_pylist():
            if row["points"]:
                points[row["note_id"]] = [point["question"] for point in row["points"]]
    if len({tuple(listed) for listed in points.values()}) < 2:
        raise DeepicdError(
            f"{folder} has points of {len(points)} stays of the training split: a reward for points needs those of two"
            " stays or more.",
            "Verify more traces with a recipe whose checks have `rubric`: deepicd verify TRACES OUT --recipe verify",
        )
    return points


def open_points(fields: Mapping[str, object], folder: Path, origin: Origin = "mimic") -> "Points":
    """Return the reward from a judge's plain values, as in a recipe, and a verification. Raises DeepicdError."""
    points = read_points(folder)
    record = records.require(find_points(folder), VerifyRecord)
    stated = fields.get("origin", origin)
    is_synthetic = stated == "synthetic" and record.origin == "synthetic"
    recipe = parse_judge({**fields, "origin": "synthetic" if is_synthetic else "mimic"}, "mimic")
    return Points(recipe, points)


class Points(JudgeServer[float]):
    """Has traces graded by the points of their stays."""

    def __init__(self, recipe: JudgeRecipe, points: Mapping[str, Sequence[str]]) -> None:
        super().__init__(recipe, "grader of points")
        self._points = points
        self._notes = sorted(points)
        self._draw = lru_cache(maxsize=None)(self._draw_points)
        self.unknown = 0
        """Answers about stays that the verification has no points of."""

    def score(self, note_ids: Sequence[str], notes: Sequence[str], texts: Sequence[str]) -> list[float | None]:
        """Return the value of each answer; None without a trace, points of its stay or an answer of the server."""
        asked = [self._request_grades(*item) for item in zip(note_ids, notes, texts, strict=True)]
        return [one.result() if isinstance(one, Future) else one for one in asked]

    def has_points(self, note_id: str) -> bool:
        return note_id in self._points

    def can_grade(self, note_id: str, text: str) -> bool:
        """Return whether there is a trace, and points of its stay."""
        return self.has_points(note_id) and isinstance(parse_answer(text), Answer)

    def count_missed(self) -> dict[str, int]:
        """Return reason → answers with a trace that got no value, for the record."""
        return dict(self.missed) | ({"no points of the stay": self.unknown} if self.unknown else {})

    def _request_grades(self, note_id: str, note: str, text: str) -> "Future[float | None] | float | None":
        answer = parse_answer(text.encode(errors="replace").decode())  # as the judge does
        if not isinstance(answer, Answer):
            return None
        if not self.has_points(note_id):
            self.unknown += 1
            if self.unknown == 1:
                logger.warning("An answer is about a stay without points: it earns nothing for them.")
            return None
        own = leave_out_copies(answer.trace, note)
        if not own:
            return 0.0
        asked = self._draw(note_id)

        def build_body() -> dict[str, object]:
            return self._shape_body(build_grading_messages(asked.questions, own), MET_SCHEMA)

        def read(content: str) -> float | None:
            met = parse_met(content, len(asked.questions))
            return None if met is None else pay(met, asked)

        return self._request([note_id, own], build_body, read)

    def _draw_points(self, note_id: str) -> PointsOfStay:
        return draw_points(note_id, self._points, self._notes)


def draw_points(note_id: str, points: Mapping[str, Sequence[str]], notes: Sequence[str]) -> PointsOfStay:
    """Return the points of a stay among as many of other stays, always the same. `notes`: two or more, sorted.

    Those of others are drawn without a look at what they ask: one that is also the stay's own counts on both sides.
    """
    lot = random.Random(note_id)
    own = list(dict.fromkeys(points[note_id][:MOST_OWN]))
    others: list[str] = []
    while len(others) < len(own):
        if (other := lot.choice(notes)) != note_id:
            others.append(lot.choice(points[other][:MOST_OWN]))
    questions = list(dict.fromkeys(own + others))
    lot.shuffle(questions)
    return PointsOfStay(tuple(questions), tuple(map(questions.index, own)), tuple(map(questions.index, others)))


def pay(met: Sequence[bool], asked: PointsOfStay) -> float:
    """Return the share of its own points that a trace meets less the share of the others, from −1 to 1.

    >>> asked = PointsOfStay(("Does it consider sepsis?", "Does it consider a stroke?"), own=(0,), others=(1,))
    >>> pay([True, False], asked), pay([True, True], asked), pay([False, True], asked)
    (1.0, 0.0, -1.0)
    """
    own, others = (sum(met[place] for place in places) / len(places) for places in (asked.own, asked.others))
    return own - others


def leave_out_copies(trace: str, note: str) -> str:
    """Return a trace without its runs of six words or more that stand in the note; '' if nothing else is said.

    >>> note = "Pain grew worse over two days. No fever."
    >>> leave_out_copies("Her pain grew worse over two days: think of the gallbladder.", note)
    'Her : think of the gallbladder.'
    """
    told = [word.lower() for word in _WORD.findall(note)]
    known = {tuple(told[start : start + COPIED]) for start in range(len(told) - COPIED + 1)}
    words = list(_WORD.finditer(trace))
    plain = [word[0].lower() for word in words]
    kept, place, end = [], 0, 0
    for start in range(len(words) - COPIED + 1):
        if tuple(plain[start : start + COPIED]) in known:
            if start >= end:
                kept.append(trace[place : words[start].start()])
            end = start + COPIED
            place = words[end - 1].end()
    own = "".join([*kept, trace[place:]]).strip()
    return own if _WORD.search(own) else ""
