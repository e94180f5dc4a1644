"""The pages on which a reviewer rates: the list of their forms, and each trace beside its note with the form below.

A reviewer sees the diagnosis, the note and the trace with its links; not who wrote the trace, how it was checked or how
a judge scored it. Each form is stored when it is sent, and the next visit goes on where the last one ended.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from cards.reading_room.filters import Filters
from cards.reading_room.marking import mark_texts
from cards.reading_room.pages import Pages
from cards.reading_room.review.assignment import Item, Review, Step
from cards.reading_room.review.ratings import EQUAL, Rating, Ratings
from cards.reading_room.server import Address, ServerLinks, guard_app
from deepicd import storage
from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

MAX_FORM = 100_000  # bytes
PREFERRED = "preferred"


@dataclass(frozen=True)
class Forms:
    """A reviewer's forms over the pages of the folder that is reviewed."""

    pages: Pages
    review: Review
    reviewer: str
    ratings: Ratings

    @property
    def steps(self) -> list[Step]:
        return self.review.steps[self.reviewer]

    def find_rating(self, step: Step) -> Rating | None:
        return self.ratings.find(step.item, step.trace)

    def find_open(self, after: int = 0) -> int | None:
        """Return the number of the first open form behind a number, else of the first one; None if all are done."""
        still_open = [number for number, step in enumerate(self.steps, start=1) if not self.find_rating(step)]
        return next((number for number in still_open if number > after), next(iter(still_open), None))

    def render_list(self) -> str:
        """Return the list of the reviewer's forms."""
        done = sum(self.find_rating(step) is not None for step in self.steps)
        lines = [
            (number, step, self.review.items[step.item], self.find_rating(step))
            for number, step in enumerate(self.steps, 1)
        ]
        return self.pages.render(
            "forms.html.j2",
            "Review",
            filters=Filters(),
            reviewer=self.reviewer,
            lines=lines,
            done=done,
            next=self.find_open(),
        )

    def render_form(self, number: int, given: dict[str, str] | None = None, problem: str = "") -> str:
        """Return the page of one form; `given` are answers that could not be stored, for the reason `problem`."""
        step, item = self._get(number)
        rating = self.find_rating(step)
        note, trace = self._read_texts(item, step)
        stored: dict[str, str] = {name: str(answer) for name, answer in rating.answers.items()} if rating else {}
        if rating and rating.preferred is not None:
            stored[PREFERRED] = EQUAL if rating.preferred == EQUAL else self._label(item, int(rating.preferred))
        marked = mark_texts(trace, note)
        return self.pages.render(
            "form.html.j2", f"Form {number}", filters=Filters(), reviewer=self.reviewer, number=number,
            total=len(self.steps), step=step, item=item, entry=self._find_entry(item, step), note=marked.note,
            rubric=self.review.rubric, marked=marked, given=stored if given is None else given, problem=problem,
            is_stored=rating is not None, sibling=self._find_sibling(number), asks_preference=step.label == "B",
        )  # fmt: skip

    def save(self, number: int, given: dict[str, str]) -> None:
        """Store the answers to a form. Raises DeepicdError for answers that are missing or not offered."""
        step, item = self._get(number)
        answers = self.review.rubric.parse_answers(given)
        preferred: int | str | None = None
        if step.label == "B":
            labels = {self._label(item, trace): trace for trace in range(len(item.traces))}
            choice = given.get(PREFERRED, "")
            if choice not in labels and choice != EQUAL:
                raise DeepicdError("“Which of the two is better?” has no answer yet.", "Choose A, B or equal.")
            preferred = labels.get(choice, EQUAL)
        self.ratings.save(
            Rating.model_validate(
                {
                    "origin": self.pages.origin, "reviewer": self.reviewer, "item": step.item, "trace": step.trace,
                    "sha256": item.traces[step.trace].sha256, "answers": answers, "preferred": preferred,
                }
            )
        )  # fmt: skip

    def _get(self, number: int) -> tuple[Step, Item]:
        if not 1 <= number <= len(self.steps):
            raise DeepicdError(f"There is no form {number:,}.", f"Forms are numbered from 1 to {len(self.steps):,}.")
        step = self.steps[number - 1]
        return step, self.review.items[step.item]

    def _find_entry(self, item: Item, step: Step) -> dict[str, object]:
        return self.pages.rows.find_entry(item.traces[step.trace].row, Filters())

    def _read_texts(self, item: Item, step: Step) -> tuple[str, str]:
        """Return note and trace. Raises DeepicdError if the trace is not the one that the review was drawn of."""
        entry, expected = self._find_entry(item, step), item.traces[step.trace]
        kept = [attempt for attempt in self.pages.rows.read_attempts(entry) if attempt["verdict"] == "kept"]
        if entry["note_id"] != item.note_id or not kept or storage.digest_text(kept[0]["trace"]) != expected.sha256:
            raise DeepicdError(
                "The traces are not those that this review was drawn of.", "Draw another one: deepicd review start"
            )
        return self.pages.rows.read_note(entry), kept[0]["trace"]

    def _label(self, item: Item, trace: int) -> str:
        number = next(place for place, other in enumerate(self.review.items) if other is item)
        return next(step.label for step in self.steps if (step.item, step.trace) == (number, trace))

    def _find_sibling(self, number: int) -> tuple[int, str] | None:
        """Return number and label of the form of the other trace; None where the item has one."""
        item = self.steps[number - 1].item
        found = [
            (other, step.label) for other, step in enumerate(self.steps, 1) if step.item == item and other != number
        ]
        return found[0] if found else None


class ReviewLinks(ServerLinks):
    """Addresses of a review: its pages are its forms."""

    is_review = True


def build_review_app(own: Forms, address: Address) -> "Starlette":
    """Return the application of one reviewer."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse
    from starlette.routing import Route

    def forms(request: "Request") -> "Response":
        return HTMLResponse(own.render_list())

    def form(request: "Request") -> "Response":
        return HTMLResponse(own.render_form(request.path_params["number"]))

    async def save(request: "Request") -> "Response":
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_FORM:
                return PlainTextResponse("This form is too long.", status_code=413)
        given = {
            name: values[-1].replace("\r\n", "\n") for name, values in parse_qs(body.decode(errors="replace")).items()
        }
        number = request.path_params["number"]
        try:
            await run_in_threadpool(own.save, number, given)
        except DeepicdError as error:
            return HTMLResponse(await run_in_threadpool(own.render_form, number, given, error.what), status_code=422)
        following = own.find_open(number)
        return RedirectResponse(f"/forms/{following}" if following else "/", status_code=303)

    routes = [
        Route("/", forms),
        Route("/forms/{number:int}", form, methods=["GET"]),
        Route("/forms/{number:int}", save, methods=["POST"]),
    ]
    return guard_app(routes, address, own.pages.links)


def open_forms(pages: Pages, review: Review, out: Path, reviewer: str) -> Forms:
    """Return a reviewer's own. Raises DeepicdError for somebody who has no part in the review."""
    if reviewer not in review.steps:
        raise DeepicdError(
            f"{reviewer!r} is not a reviewer of {out}.", f"Its reviewers are: {', '.join(sorted(review.steps))}."
        )
    return Forms(pages, review, reviewer, Ratings(out, reviewer))
