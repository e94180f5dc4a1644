"""The tables behind the pages, filled once from a folder: `notes`, `attempts`, `scores`, `entries`.

Grain: `notes` one row per admission note; `attempts` one per attempt; `scores` one per judge and trace; `entries` one
per note and recipe, the kept attempt or else the last one, numbered in the cohort's order.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cards.reading_room.folders import Holdings
from deepicd.icd10cm import Code
from deepicd.schema import COHORT, DATASET, FIRST_TRACES, SCORES, SPLITS, TRACES
from deepicd.storage import open_parquet

if TYPE_CHECKING:
    import duckdb

CREATE = """
create table notes (
  note_id varchar, split varchar, icd_code varchar, icd_title varchar, category varchar, chapter tinyint,
  flags varchar[], note_file varchar, note_column varchar, id_column varchar
);
create table attempts (
  recipe_digest varchar, recipe varchar, teacher varchar, note_id varchar, rollout smallint,
  attempt smallint, attempts smallint, verdict varchar, reasons varchar[], words bigint, finish_reason varchar,
  trace_sha256 varchar,
  supported bigint, inference bigint, contradicted bigint, absent bigint, file varchar, judge_score double
);
create table scores (
  recipe_digest varchar, note_id varchar, trace_sha256 varchar, judge varchar, revision varchar, score double,
  why varchar, unscored_for varchar, rubric varchar
);
create table hits (q varchar, note_id varchar);
"""

READ_NOTES = """
insert into notes
select note_id, $split, icd_code, icd_title, category, chapter, {flags}, $file, 'admission_note', 'note_id'
from read_parquet($file)
"""

READ_DATASET_WITHOUT_TRACE = """
insert into notes
select extra_info.note_id, $split, reward_model.ground_truth, null, left(reward_model.ground_truth, 3), null, [], $file,
  'extra_info.note', 'extra_info.note_id'
from read_parquet($file)
where extra_info.note_id not in (select note_id from notes)
"""

READ_DATASET_TRACES = """
insert into attempts
select $digest, recipe, teacher, note_id, 1, 1, 1, 'kept', [], words, finish_reason, null, null, null, null, null,
  $file, judge_score
from read_parquet($file)
"""

# `{claims}` counts the kinds of `evidence`, or is null four times where a file has no such column
READ_ATTEMPTS = """
insert into attempts
select $digest, $recipe, $teacher, note_id, {rollout}, attempt, attempts,
  case when $verdict = 'kept' then 'kept' when completion is null then 'no trace' else 'rejected' end,
  rejected_for, words, finish_reason, {digest_of_trace}, {claims}, $file, null
from read_parquet($file)
"""

READ_SCORES = """
insert into scores
select recipe_digest, note_id, trace_sha256, judge, revision, score, why, unscored_for, rubric
from read_parquet($files) as judged
join attempts using (note_id, trace_sha256)
where attempts.verdict = 'kept'
"""

CREATE_ENTRIES = """
create table entries as
with last_attempts as (
  select * from attempts
  qualify row_number() over (
    partition by recipe_digest, note_id order by verdict = 'kept' desc, verdict = 'rejected' desc, rollout, attempt desc
  ) = 1
), scored as (
  select recipe_digest, note_id, trace_sha256, avg(score) as score from scores group by all
)
select
  row_number() over (order by list_position($splits, notes.split), notes.note_id, recipe_digest) as row,
  notes.*, coalesce(recipe_digest, '') as recipe_digest, recipe, teacher,
  coalesce(verdict, 'no trace') as verdict, coalesce(reasons, []) as reasons, coalesce(attempts, 0) as attempts,
  coalesce(words, 0) as words, finish_reason, supported, inference, contradicted, absent,
  coalesce(scored.score, judge_score) as score
from notes
left join last_attempts using (note_id)
left join scored using (recipe_digest, note_id, trace_sha256)
order by row
"""


# The first of each stratum come first, then the others in proportion: the k-th of n at (k - 1/2) / n
DRAW_SAMPLE = """
select row from (
  select row, md5(note_id || recipe_digest || $1) as draw, count(*) over strata as size,
    row_number() over (strata order by md5(note_id || recipe_digest || $1)) as place
  from entries where {condition} window strata as (partition by chapter, verdict)
) order by place = 1 desc, (place - 0.5) / size, draw limit $2
"""


def create_tables(connection: "duckdb.DuckDBPyConnection", holdings: Holdings) -> None:
    """Create and fill all tables."""
    connection.execute(CREATE)
    for file in holdings.list_notes():
        open_parquet(file, COHORT).close()
        connection.execute(READ_NOTES.format(flags="flags"), {"split": file.stem, "file": str(file)})
    for folder, record in holdings.traces.items():
        values = {
            "digest": record.counts.recipe_digest,
            "teacher": record.teacher,
            "recipe": record.options.get("name"),
        }
        for verdict in ("kept", "rejected"):
            for file in sorted((folder / verdict).glob("*.parquet")):
                sql = _build_attempts(file, with_digest=bool(holdings.scores))
                connection.execute(sql, {**values, "verdict": verdict, "file": str(file)})
    _read_datasets(connection, holdings)
    _complete_codes(connection)
    files = [path for folder in holdings.scores for path in sorted(folder.glob("scores/*.parquet"))]
    for file in files:
        open_parquet(file, SCORES).close()
    if files:
        connection.execute(READ_SCORES, {"files": list(map(str, files))})
    connection.execute(CREATE_ENTRIES, {"splits": list(SPLITS)})


def _build_attempts(file: Path, *, with_digest: bool) -> str:
    kinds = ("supported", "inference", "contradicted", "absent")
    with open_parquet(file, FIRST_TRACES, optional=TRACES) as opened:
        columns = opened.schema_arrow.names
    has_evidence = "evidence" in columns
    count = "len(list_filter(evidence, lambda claim: claim.kind = '{kind}'))" if has_evidence else "null"
    claims = ", ".join(count.format(kind=kind) for kind in kinds)
    return READ_ATTEMPTS.format(
        rollout="coalesce(rollout, 1)" if "rollout" in columns else "1",
        claims=claims,
        digest_of_trace="sha256(trace)" if with_digest else "null",
    )


def _read_datasets(connection: "duckdb.DuckDBPyConnection", holdings: Holdings) -> None:
    """Read notes and traces from a dataset folder where no cohort and no folder of traces is at hand."""
    for number, folder in enumerate(holdings.datasets):
        for file in sorted(folder.glob("traces/*.parquet")):
            open_parquet(file, DATASET["traces"]).close()
            values = {"split": file.name.split("-")[0], "file": str(file)}
            if not holdings.cohorts and not number:
                connection.execute(READ_NOTES.format(flags="[]"), values)
            if not holdings.traces:
                connection.execute(READ_DATASET_TRACES, {"file": str(file), "digest": folder.name})
        for file in sorted(folder.glob("grpo/*.parquet")):
            open_parquet(file, DATASET["grpo"]).close()
            if not holdings.cohorts and not number:
                values = {"split": file.name.split("-")[0], "file": str(file)}
                connection.execute(READ_DATASET_WITHOUT_TRACE, values)


def _complete_codes(connection: "duckdb.DuckDBPyConnection") -> None:
    """Add chapter and title to notes whose file has the code alone."""
    for (value,) in connection.execute("select distinct icd_code from notes where chapter is null").fetchall():
        code = Code(value)
        connection.execute(
            "update notes set chapter = ?, icd_title = coalesce(icd_title, ?) where icd_code = ? and chapter is null",
            [code.chapter.number, code.title or "", value],
        )


def build_pattern(text: str) -> str:
    """Return the pattern of `ilike` that finds a text itself.

    >>> build_pattern("100% sure")
    '%100\\\\% sure%'
    """
    for sign in ("\\", "%", "_"):
        text = text.replace(sign, f"\\{sign}")
    return f"%{text}%"


def build_search(connection: "duckdb.DuckDBPyConnection") -> str:
    """Return the query of the notes that a text ($1) finds by its pattern ($2)."""
    parts = [
        "select $1 as q, note_id from notes where icd_title ilike $2 escape '\\' or icd_code ilike replace($2, '.', '')"
    ]
    for column, id_column, files in _list_texts(connection):
        names = ", ".join(f"'{file.replace(chr(39), chr(39) * 2)}'" for file in files)
        parts.append(f"select $1, {id_column} from read_parquet([{names}]) where {column} ilike $2 escape '\\'")
    return " union ".join(parts)


def _list_texts(connection: "duckdb.DuckDBPyConnection") -> Iterable[tuple[str, str, list[str]]]:
    """Yield (column, column of the id, files) of every text that is searched."""
    sql = "select note_column, id_column, list(distinct note_file order by note_file) from notes group by all"
    yield from connection.execute(sql).fetchall()
    files = connection.execute("select distinct file from attempts order by file").fetchall()
    if files:
        yield "trace", "note_id", [file for (file,) in files]
