"""The answers of evaluations: confusion by chapter, then category, then code; answers behind a cell; two runs.

    view = parse_view({"run": "sft", "within": "9"})        # chapter 9, by category
    pages.render("evaluation.html.j2", "Evaluation", **measure_evaluation(rows, view))

Table `predictions` has one row per run and note; `level` and `label` say how a code is shown at a depth: its chapter,
its category or itself.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

from cards.reading_room.filters import MAX_TEXT
from cards.reading_room.folders import Holdings
from cards.reading_room.rows import Rows
from deepicd.errors import DeepicdError
from deepicd.icd10cm import CHAPTERS, Code
from deepicd.schema import PREDICTIONS
from deepicd.storage import open_parquet

NONE = "none"  # the label of an answer without a code
LARGEST = 18  # rows and columns of a matrix; what is rarer is put together
OTHER = "other"
PAIRS = 15  # worst pairs
ANSWERS = 50  # shown of a cell
Depth = Literal["chapter", "category", "code"]

CREATE = (
    "create or replace table predictions"
    " (run varchar, note_id varchar, truth varchar, predicted varchar, problem varchar, file varchar)",
    "create or replace table codes (code varchar, chapter varchar, category varchar)",
)
READ = """
insert into predictions
select $1, note_id, icd_code, predicted, problem, $2 from read_parquet($2)
"""
LEVELS = ("chapter", "category", "code")


@dataclass(frozen=True, slots=True)
class View:
    """What of the evaluations a reader looks at; '' for everything."""

    run: str = ""
    against: str = ""
    within: str = ""
    """A chapter's number or a category: only truths in it, one level deeper."""
    truth: str = ""
    """With `predicted`: the cell whose answers are listed, by its labels."""
    predicted: str = ""

    @property
    def depth(self) -> Depth:
        return "chapter" if not self.within else "category" if self.within.isdigit() else "code"

    def link(self, **changes: str) -> str:
        """Return the query string of this view with some changes; a cell is left unless it is given."""
        values = asdict(replace(self, **({"truth": "", "predicted": ""} | changes)))
        return urlencode({name: value for name, value in values.items() if value})


def parse_view(query: Mapping[str, str]) -> View:
    """Return the view of a query string. Raises DeepicdError for a part of the classification that does not exist."""
    view = View(**{name: query.get(name, "")[:MAX_TEXT] for name in ("run", "against", "within", "truth", "predicted")})
    is_chapter = view.within.isdigit() and view.within in {str(chapter.number) for chapter in CHAPTERS}
    if view.within and not is_chapter and Code.find(view.within) is None:
        raise DeepicdError(f"{view.within!r} is neither a chapter nor a category.", "For instance: 9, I50")
    return view


def read_predictions(rows: Rows, holdings: Holdings) -> list[str]:
    """Fill the tables from all evaluations, and return the names of the runs."""
    for statement in CREATE:
        rows.query(statement)
    names = name_runs(list(holdings.evaluations))
    for folder, name in names.items():
        file = folder / "predictions.parquet"
        open_parquet(file, PREDICTIONS).close()
        rows.query(READ, [name, str(file)])
    found = rows.query("select distinct truth as code from predictions union select predicted from predictions")
    codes = [Code(row["code"]) for row in found if row["code"]]
    for code in codes:
        rows.query("insert into codes values (?, ?, ?)", [code.value, str(code.chapter.number), code.category])
    return list(names.values())


def name_runs(folders: list[Path]) -> dict[Path, str]:
    """Return a short name for each run: its folder's, with the folder above where two are alike."""
    names = [folder.name for folder in folders]
    return {folder: folder.name if names.count(folder.name) == 1 else "/".join(folder.parts[-2:]) for folder in folders}


def measure_evaluation(rows: Rows, runs: list[str], view: View) -> dict[str, Any]:
    """Return the fields of the evaluation's template."""
    view = replace(view, run=view.run or runs[0])
    if unknown := [name for name in (view.run, view.against) if name and name not in runs]:
        raise DeepicdError(f"There is no run {unknown[0]!r}.", f"Runs are: {', '.join(runs)}.")
    pairs = _count_pairs(rows, view)
    return {
        "view": view,
        "runs": runs,
        "total": sum(pairs.values()),
        "shares": _measure_shares(rows, view.run, view),
        "their_shares": _measure_shares(rows, view.against, view) if view.against else None,
        "matrix": _build_matrix(pairs),
        "worst": _list_worst(rows, view),
        "changes": _count_changes(rows, view) if view.against else None,
        "answers": _list_answers(rows, view) if view.truth and view.predicted else None,
    }


def _within(view: View) -> tuple[str, list[object]]:
    """Return the condition that the truth is in the chosen part, and its parameter."""
    if not view.within:
        return "true", []
    return ("truths.chapter = ?" if view.within.isdigit() else "truths.category = ?"), [view.within]


_SOURCE = """
from predictions
join codes as truths on truths.code = truth
left join codes as answers on answers.code = predicted
where run = ? and {within}
"""


def _ask(rows: Rows, view: View, select: str, rest: str = "", *, run: str = "", more: tuple[object, ...] = ()) -> Any:
    condition, parameters = _within(view)
    return rows.query(
        f"select {select} {_SOURCE.format(within=condition)} {rest}", [run or view.run, *parameters, *more]
    )


def _count_pairs(rows: Rows, view: View) -> dict[tuple[str, str], int]:
    found = _ask(
        rows, view,
        f"truths.{view.depth} as truth, coalesce(answers.{view.depth}, '{NONE}') as answer, count(*) as rows",
        "group by all",
    )  # fmt: skip
    return {(row["truth"], row["answer"]): row["rows"] for row in found}


def _build_matrix(pairs: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """Return labels and cells of a matrix; the rarest labels are put together as 'other'."""
    weight: dict[str, int] = {}
    for (truth, answer), number in pairs.items():
        weight[truth] = weight.get(truth, 0) + number
        weight[answer] = weight.get(answer, 0) + number
    weight.pop(NONE, None)
    kept = sorted(weight, key=lambda label: (-weight[label], label))[:LARGEST]
    labels = sorted(kept, key=lambda label: (int(label) if label.isdigit() else 0, label))
    cells: dict[tuple[str, str], int] = {}
    for (truth, answer), number in pairs.items():
        key = (truth if truth in kept else OTHER, answer if answer in kept or answer == NONE else OTHER)
        cells[key] = cells.get(key, 0) + number
    truths = [*labels, *([OTHER] if any(truth == OTHER for truth, _ in cells) else [])]
    truths = [label for label in truths if any(truth == label for truth, _ in cells)]
    answers = [label for label in (*labels, OTHER, NONE) if any(answer == label for _, answer in cells)]
    largest = max(cells.values(), default=1)
    lines = []
    for truth in truths:
        numbers = [cells.get((truth, answer), 0) for answer in answers]
        shades = [-(-9 * number // largest) for number in numbers]
        lines.append((truth, sum(numbers), list(zip(answers, numbers, shades, strict=True))))
    return {"answers": answers, "lines": lines}


def _measure_shares(rows: Rows, run: str, view: View) -> dict[str, float | None]:
    """Return the share of right answers at each level."""
    found = _ask(
        rows, view,
        "count(*) filter (truths.chapter = answers.chapter) / count(*) as chapter,"
        " count(*) filter (truths.category = answers.category) / count(*) as category,"
        " count(*) filter (truth = predicted) / count(*) as code, count(*) as rows",
        run=run,
    )  # fmt: skip
    shares: dict[str, float | None] = found[0]
    return shares


def _list_worst(rows: Rows, view: View) -> list[dict[str, Any]]:
    """Return the most frequent wrong pairs of codes."""
    found: list[dict[str, Any]] = _ask(
        rows, view, "truth, predicted as answer, count(*) as rows", f"and truth <> predicted group by all"
        f" order by rows desc, truth, answer limit {PAIRS}",
    )  # fmt: skip
    return [row | {"titles": (Code(row["truth"]).title or "", Code(row["answer"]).title or "")} for row in found]


def _count_changes(rows: Rows, view: View) -> dict[str, dict[str, int]]:
    """Return for each level how many notes only this run, only the other, both and none answer right."""
    condition, parameters = _within(view)
    changes = {}
    for level in LEVELS:
        found = rows.query(
            f"""
            with answers as (
              select run, note_id, truths.{level} is not distinct from answered.{level} as is_right
              from predictions join codes as truths on truths.code = truth
              left join codes as answered on answered.code = predicted where {condition}
            )
            select count(*) filter (ours.is_right and theirs.is_right) as both,
              count(*) filter (ours.is_right and not theirs.is_right) as ours,
              count(*) filter (not ours.is_right and theirs.is_right) as theirs,
              count(*) filter (not ours.is_right and not theirs.is_right) as neither
            from answers as ours join answers as theirs using (note_id) where ours.run = ? and theirs.run = ?
            """,
            [*parameters, view.run, view.against],
        )
        changes[level] = found[0]
    return changes


def _list_answers(rows: Rows, view: View) -> list[dict[str, Any]]:
    """Return the answers behind a cell with their texts, each with the number of its row where one has it."""
    found: list[dict[str, Any]] = _ask(
        rows, view, "note_id, truth, predicted, problem, file",
        f"and truths.{view.depth} = ? and coalesce(answers.{view.depth}, '{NONE}') = ?"
        f" order by note_id limit {ANSWERS}",
        more=(view.truth, view.predicted),
    )  # fmt: skip
    ids = [row["note_id"] for row in found]
    texts: dict[str, str | None] = {}
    for file in {row["file"] for row in found}:
        sql = "select note_id, completion from read_parquet(?) where note_id in (select unnest(?))"
        texts |= {row["note_id"]: row["completion"] for row in rows.query(sql, [file, ids])}
    known = "select note_id, min(row) as row from entries where list_contains(?, note_id) group by note_id"
    places = rows.query(known, [ids])
    numbers = {row["note_id"]: row["row"] for row in places}
    return [row | {"text": texts[row["note_id"]], "row": numbers.get(row["note_id"])} for row in found]
