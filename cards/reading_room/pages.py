"""The pages of the reading room as HTML, the same from a server and in a report.

pages = Pages(rows, ServerLinks())
pages.render_overview(filters), pages.render_list(filters), pages.render_row(17, filters)

A note may hold tags, `</think>` or right-to-left marks. Jinja2 escapes the first two; the marks would reorder what
stands beside them and are shown by their number instead: ⟦U+202E⟧.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cards.reading_room import evaluation, overview
from cards.reading_room.filters import CLAIMS, SORT_TITLES, VERDICTS, Filters
from cards.reading_room.marking import mark_note, mark_texts
from cards.reading_room.rows import PAGE, Entry, Rows
from cards.reading_room.sent import Teaching
from deepicd.errors import DeepicdError
from deepicd.evidence import Kind
from deepicd.icd10cm import CHAPTERS, SHORT_NAMES, Code
from deepicd.schema import SPLITS
from deepicd.stage_records import describe_rehearsal

if TYPE_CHECKING:
    import jinja2

HERE = Path(__file__).parent
STATIC = HERE / "static"
_STEERING = re.compile("[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
TEXTS = ("trace", "completion", "evidence", "verdict", "note_id", "icd_code", "split", "rejected_for")
"""Columns of an attempt that the page shows elsewhere than among its measurements."""
ORIGINS = {
    "synthetic": "Made-up records",
    "public": "Public records",
    "mimic": "Credentialed records: not to be shared",
}
KINDS = {
    Kind.SUPPORTED: "supported",
    Kind.INFERENCE: "inference",
    Kind.CONTRADICTED: "contradicted",
    Kind.ABSENT: "not in the note",
}


_PROVENANCE = ("recipe", "recipe_digest", "teacher", "revision", "engine", "engine_version", "temperature", "top_p",
               "top_k", "max_tokens", "seed", "prompt", "layout", "prompt_sha256", "note_sha256", "description_code",
               "description_sha256", "guideline_chapter", "guideline_text", "guidelines_sha256", "prompt_tokens",
               "completion_tokens", "cached_tokens", "seconds")  # fmt: skip


_ELSEWHERE = ("place", "attempt", "attempts", "row_kept", "admission_note", "subject_id", "hadm_id")


class Links(Protocol):
    """Where the pages lie, seen from one of them."""

    is_report: bool
    is_review: bool

    def static(self, name: str) -> str: ...
    def overview(self, filters: Filters) -> str: ...
    def list(self, filters: Filters, **changes: object) -> str: ...
    def row(self, number: int, filters: Filters, attempt: int = 0) -> str: ...
    def page(self, name: str) -> str: ...


class Pages:
    """Renders pages of one folder."""

    def __init__(self, rows: Rows, links: Links, name: str, remark: str = "") -> None:
        self.rows, self.links, self.name, self.remark = rows, links, name, remark
        self.holdings = rows.holdings
        self.origin = self.holdings.origin
        self.runs = evaluation.read_predictions(rows, self.holdings)
        self._teachings = {record.counts.recipe_digest: Teaching(record) for record in self.holdings.traces.values()}

    @cached_property
    def _choices(self) -> dict[str, Sequence[Any]]:
        """What the filters offer: only what the rows have."""
        ask = self.rows.query
        return {
            "splits": SPLITS,
            "verdicts": VERDICTS,
            "claims": CLAIMS,
            "sorts": list(SORT_TITLES.items()),
            "flags": [row["flag"] for row in ask("select distinct unnest(flags) as flag from entries order by flag")],
            "reasons": [row["why"] for row in ask("select distinct unnest(reasons) as why from attempts order by why")],
            "scores": [row["s"] for row in ask("select distinct round(score)::int as s from entries where score > 0"
                                               " order by s")],
            "recipes": ask("select distinct recipe_digest, recipe from attempts order by recipe, recipe_digest"),
        }  # fmt: skip

    @cached_property
    def _warning(self) -> str | None:
        records = [record for _, record in self.holdings.list_records()]
        return next((line for record in records if (line := describe_rehearsal(record))), None)

    def render(self, template: str, title: str, **fields: Any) -> str:
        """Return a page from its template."""
        common = {
            "title": title,
            "name": self.name,
            "links": self.links,
            "origin": self.origin,
            "origin_words": ORIGINS[self.origin],
            "warning": self._warning,
            "remark": self.remark,
            "has_evaluation": bool(self.runs) and not self.links.is_report,
            "kinds": KINDS,
        }
        return render(template, common | fields)

    def render_overview(self, filters: Filters) -> str:
        """Return the page of figures, narrowed by the filters."""
        return self.render(
            "overview.html.j2",
            "Overview",
            filters=filters,
            choices=self._choices,
            **overview.measure(self.rows, filters),
        )

    def render_list(self, filters: Filters, size: int = PAGE) -> str:
        """Return a page of the list."""
        page = self.rows.list_page(filters, size)
        return self.render("list.html.j2", "Rows", filters=filters, choices=self._choices, page=page)

    def render_evaluation(self, view: evaluation.View) -> str:
        """Return the page of the evaluations. Raises DeepicdError where there is none."""
        if not self.runs:
            raise DeepicdError(
                "This folder holds no evaluation.", "Point at one, or at a folder above: deepicd view out"
            )
        fields = evaluation.measure_evaluation(self.rows, self.runs, view)
        return self.render("evaluation.html.j2", "Evaluation", filters=Filters(), **fields)

    def render_row(self, number: int, filters: Filters, attempt: int = 0) -> str:
        """Return the page of one row with one of its attempts: the one named, else the kept one, else the last."""
        entry = self.rows.find_entry(number, filters)
        note, attempts = self.rows.read_note(entry), self.rows.read_attempts(entry)
        shown = _choose_attempt(attempts, attempt)
        trace = shown.get("trace") if shown else None
        marked = mark_texts(trace, note) if trace else None
        teaching = self._teachings.get(entry["recipe_digest"])
        return self.render(
            "row.html.j2",
            f"{entry['icd_code']}, row {number:,}",
            filters=filters,
            entry=entry,
            note=marked.note if marked else mark_note(note),
            marked=marked,
            attempts=attempts,
            shown=shown,
            measurements=_list_measurements(shown) if shown else [],
            verification=[_describe_verification(row, trace) for row in self.rows.read_verification(entry, trace)]
            if trace
            else [],
            scores=self.rows.read_scores(entry, trace) if trace else [],
            prompt=teaching.show(entry, shown, note) if teaching and shown and shown.get("prompt_sha256") else None,
            provenance=_list_provenance(shown, teaching) if shown else [],
        )


def _choose_attempt(attempts: Sequence[Entry], number: int) -> Entry | None:
    """Return the attempt at a place, else the kept one, else the last; None where there is none."""
    named = [attempt for attempt in attempts if attempt["place"] == number]
    kept = [attempt for attempt in attempts if attempt["verdict"] == "kept"]
    return next(iter([*named, *kept, *attempts[::-1]]), None)


def _describe_verification(row: Mapping[str, Any], trace: str) -> dict[str, Any]:
    """Return a row of `verify`: its expectations with their words, and every other value that it has."""
    hidden = {"note_id", "split", "icd_code", "trace_sha256", "forecasts", "points", "failed_for"}
    values = {name: value for name, value in row.items() if name not in hidden and value is not None}
    return {
        "failed_for": row.get("failed_for") or [],
        "forecasts": [
            forecast | {"text": trace[forecast["start"] : forecast["end"]]} for forecast in row.get("forecasts") or []
        ],
        "points": row.get("points") or [],
        "values": [
            (name.replace("_", " "), ", ".join(map(str, value)) if isinstance(value, list) else _format(value))
            for name, value in values.items()
        ],
    }


def _list_measurements(attempt: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the columns of an attempt that say how it was measured: of the checks, and whatever scores it has."""
    hidden = {*TEXTS, *_PROVENANCE, *_ELSEWHERE}
    return [
        (name.replace("_", " "), _format(value))
        for name, value in attempt.items()
        if name not in hidden and value is not None and not isinstance(value, list | dict)
    ]


def _list_provenance(attempt: Mapping[str, Any], teaching: Teaching | None) -> list[tuple[str, Any]]:
    """Return how an attempt came about, column by column."""
    rows = [
        (name.replace("_", " "), _format(attempt[name])) for name in _PROVENANCE if attempt.get(name) not in (None, "")
    ]
    if teaching:
        record = teaching.record
        rows += [("started", record.started), ("deepicd", record.version), ("key of the run", record.key[:12])]
    return rows


def _format(value: Any) -> Any:
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else value


def reveal(value: Any) -> Any:
    """Return a text with each control and direction mark shown by its number; anything else as it is.

    >>> reveal("a\\u202eb"), reveal(3)
    ('a⟦U+202E⟧b', 3)
    """
    if type(value) is not str:  # Markup is ours, and numbers have no marks
        return value
    return _STEERING.sub(lambda match: "" if match[0] == "\r" else f"⟦U+{ord(match[0]):04X}⟧", value)


def render(template: str, fields: Mapping[str, Any]) -> str:
    """Return a page. An unknown field is an error."""
    return _load_environment().get_template(template).render(**fields)


@cache
def _load_environment() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        finalize=reveal,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"dotted": lambda code: str(Code(code)), "roman": lambda number: CHAPTERS[number - 1].roman,
                            "chapter_title": lambda number: CHAPTERS[number - 1].title,
                            "chapter_name": lambda number: SHORT_NAMES[CHAPTERS[number - 1].roman]}  # fmt: skip
    environment.globals["chapters"] = CHAPTERS
    return environment
