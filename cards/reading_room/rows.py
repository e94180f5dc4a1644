"""The rows that a reader pages through: one per note and recipe, in DuckDB, without their texts.

    rows = open_rows(find_holdings(Path("out")))
    page = rows.list_page(parse_filters({"chapter": "9"}))        # 50 entries, and how many there are
    entry = rows.find_entry(17, filters)                          # one of them, with its place among the selected
    rows.read_note(entry), rows.read_attempts(entry)              # its texts, read from the parquet files

Table `entries` is made when the folder is opened; texts are read from the files that have them, when they are shown or
searched.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cards.reading_room import tables
from cards.reading_room.filters import SORTS, Filters
from cards.reading_room.folders import Holdings
from deepicd import storage
from deepicd.errors import DeepicdError

if TYPE_CHECKING:
    import duckdb

PAGE = 50  # entries
SEARCHES = 32  # whose hits are kept

Entry = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """A page of the selected entries."""

    entries: Sequence[Entry]
    total: int
    number: int
    size: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))


class Rows:
    """Entries of a folder. Methods may be called from several threads."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection", holdings: Holdings) -> None:
        self._connection, self.holdings = connection, holdings
        self._searching = threading.Lock()
        self._searched: list[str] = []
        self._notes: dict[str, str] = {}
        self._attempts: dict[tuple[str, str], list[Entry]] = {}

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[Entry]:
        """Return the rows of a query as mappings."""
        cursor = self._connection.cursor()
        try:
            result = cursor.execute(sql, list(parameters))
            names = [column[0] for column in result.description]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
        finally:
            cursor.close()

    def select(self, filters: Filters) -> tuple[str, list[object]]:
        """Return the condition that selects a reader's entries, with its parameters; searches texts if need be."""
        condition, parameters = filters.where()
        if not filters.q:
            return condition, parameters
        self._search(filters.q)
        return f"{condition} and note_id in (select note_id from hits where q = ?)", [*parameters, filters.q]

    def list_page(self, filters: Filters, size: int = PAGE) -> Page:
        """Return the page that the filters name; the last one for a number beyond it."""
        condition, parameters = self.select(filters)
        total = self.query(f"select count(*) as total from entries where {condition}", parameters)[0]["total"]
        number = min(filters.page, max(1, -(-total // size)))
        entries = self.query(
            f"select * from entries where {condition} order by {SORTS[filters.sort]} limit {size} offset ?",
            [*parameters, (number - 1) * size],
        )
        return Page(entries, total, number, size)

    def find_entry(self, row: int, filters: Filters) -> Entry:
        """Return an entry with its place among the selected ones and its neighbours; None for these where it is none.

        Raises DeepicdError for a number that no entry has.
        """
        condition, parameters = self.select(filters)
        found = self.query(
            f"""
            with selected as (
              select row, row_number() over ordered as place, count(*) over () as places,
                lag(row) over ordered as previous, lead(row) over ordered as next
              from entries where {condition} window ordered as (order by {SORTS[filters.sort]})
            )
            select entries.*, place, places, previous, next from entries left join selected using (row) where row = ?
            """,
            [*parameters, row],
        )
        if not found:
            raise DeepicdError(f"There is no row {row:,}.", f"Rows are numbered from 1 to {self.count():,}.")
        return found[0]

    def draw_sample(self, size: int, seed: int, condition: str = "true") -> list[int]:
        """Return the numbers of a sample of the entries, in order: of each chapter and verdict in proportion.

        Each of them has an entry where the size allows it. The same rows and seed give the same sample.
        """
        drawn = self.query(tables.DRAW_SAMPLE.format(condition=condition), [str(seed), size])
        return sorted(entry["row"] for entry in drawn)

    def keep_sample(self, size: int, seed: int) -> list[int]:
        """Forget all entries but a sample; return their numbers."""
        numbers = self.draw_sample(size, seed)
        self.query("delete from entries where not list_contains(?, row)", [numbers])
        return numbers

    def count(self) -> int:
        """Return the number of all entries."""
        return int(self.query("select count(*) as total from entries")[0]["total"])

    def read_ahead(self, numbers: Sequence[int]) -> None:
        """Read the texts of several entries at once, in place of those read ahead before: a file is decoded once."""
        notes: dict[str, str] = {}
        attempts: dict[tuple[str, str], list[Entry]] = {}
        chosen = "select * from entries where list_contains(?, row)"
        places = f"select note_file, note_column, id_column, list(note_id) as ids from ({chosen}) group by all"
        for place in self.query(places, [numbers]):
            sql = (
                f"select {place['id_column']} as note_id, {place['note_column']} as note from read_parquet(?)"
                f" where {place['id_column']} in (select unnest(?))"
            )
            notes |= {row["note_id"]: row["note"] or "" for row in self.query(sql, [place["note_file"], place["ids"]])}
        files = (
            f"select file, attempts.verdict, recipe_digest, list(note_id) as ids from attempts join ({chosen}) using"
            " (recipe_digest, note_id) group by all order by file"
        )
        for place in self.query(files, [numbers]):
            sql = "select * from read_parquet(?) where note_id in (select unnest(?))"
            for row in self.query(sql, [place["file"], place["ids"]]):
                key = place["recipe_digest"], row["note_id"]
                attempts.setdefault(key, []).append(row | {"verdict": place["verdict"]})
        self._notes, self._attempts = notes, attempts

    def read_note(self, entry: Mapping[str, Any]) -> str:
        """Return the admission note of an entry."""
        if entry["note_id"] in self._notes:
            return self._notes[entry["note_id"]]
        found = self.query(
            f"select {entry['note_column']} as note from read_parquet(?) where {entry['id_column']} = ?",
            [entry["note_file"], entry["note_id"]],
        )
        return found[0]["note"] or ""

    def read_attempts(self, entry: Mapping[str, Any]) -> list[Entry]:
        """Return the attempts at an entry in their order, with every column of their files and `verdict`."""
        key = entry["recipe_digest"], entry["note_id"]
        if key in self._attempts:
            return _number_attempts(self._attempts[key])
        files = self.query(
            "select distinct file, verdict from attempts where recipe_digest = ? and note_id = ? order by file",
            [entry["recipe_digest"], entry["note_id"]],
        )
        attempts: list[Entry] = []
        for file in files:
            rows = self.query("select * from read_parquet(?) where note_id = ?", [file["file"], entry["note_id"]])
            attempts += [row | {"verdict": file["verdict"]} for row in rows]
        return _number_attempts(attempts)

    def count_attempts(self, row: int) -> int:
        """Return how many attempts there are at an entry."""
        found = self.query(
            "select count(*) as total from attempts join entries using (recipe_digest, note_id) where row = ?", [row]
        )
        return int(found[0]["total"])

    def read_scores(self, entry: Mapping[str, Any], trace: str) -> list[Entry]:
        """Return what judges said of a trace of the entry."""
        return self.query(
            "select judge, revision, score, why, unscored_for, rubric from scores"
            " where recipe_digest = ? and note_id = ? and trace_sha256 = ? order by judge",
            [entry["recipe_digest"], entry["note_id"], storage.digest_text(trace)],
        )

    def read_verification(self, entry: Mapping[str, Any], trace: str) -> list[Entry]:
        """Return what `deepicd verify` found of a trace of the entry, with every column of its files."""
        found: list[Entry] = []
        for folder in self.holdings.verified:
            for file in sorted(folder.glob("verified/*.parquet")):
                sql = "select * from read_parquet(?) where note_id = ? and trace_sha256 = ?"
                found += self.query(sql, [str(file), entry["note_id"], storage.digest_text(trace)])
        return found

    def _search(self, text: str) -> None:
        """Find the notes whose text, trace, title or code has a text, ignoring case, unless that was done before."""
        with self._searching:
            if text in self._searched:
                return
            if len(self._searched) >= SEARCHES:
                self.query("delete from hits where q = ?", [self._searched.pop(0)])
            pattern = tables.build_pattern(text)
            self.query(f"insert into hits {tables.build_search(self._connection)}", [text, pattern])
            self._searched.append(text)


def _number_attempts(attempts: Sequence[Entry]) -> list[Entry]:
    """Return the attempts of all rollouts in their order, numbered by `place` from 1.

    The rows of a dataset are kept traces, without the columns for why one was rejected and for what else was written.
    """
    ordered = sorted(attempts, key=lambda attempt: (attempt.get("rollout") or 1, attempt.get("attempt") or 0))
    return [
        {"rejected_for": [], "completion": None} | attempt | {"place": place}
        for place, attempt in enumerate(ordered, start=1)
    ]


def open_rows(holdings: Holdings) -> Rows:
    """Read ids, codes, verdicts and scores of everything that a folder holds."""
    import duckdb

    connection = duckdb.connect()
    tables.create_tables(connection, holdings)
    return Rows(connection, holdings)
