"""Open databases: DuckDB files that hold a copy, and one in memory for the work on it. Errors are told by their cause.

    with open_file(Path("mimic.duckdb")) as db:
        db.execute("select count(*) from discharge")

DuckDB's own messages may quote a row, so they are not shown: what they say is recognised and put in words.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING

from deepicd.errors import DeepicdError
from deepicd.mimic.file_kinds import check_kind

if TYPE_CHECKING:
    import duckdb

MEMORY = "1GB"  # of DuckDB, which then spills to disk
# Without it, DuckDB would fetch an extension for a foreign file from the internet.
_OFFLINE = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}

_AGAIN = "Copy it again from where it came, or make it again from PhysioNet's files."
# What DuckDB says → what happened, what to do. The first that fits counts.
_CAUSES = (
    (
        r"Could not set lock|being used by another process",
        "is open in another program{process}, which may write to it",
        "Close it there, then rerun the command.",
    ),
    (
        r"Conflicting lock|different configuration",
        "is open in this program already",
        "Close that connection, then rerun the command.",
    ),
    (r"Permission denied", "may not be read by this user", "Change its permissions: chmod u+r"),
    (
        r"version number|newer version|storage version",
        "was written by a DuckDB whose format this one ({version}) does not read",
        "Install that version of duckdb, or write the file again: EXPORT DATABASE there, IMPORT DATABASE here.",
    ),
    (r"not a valid DuckDB database", "is no DuckDB file", _AGAIN),
    (r"read enough bytes", "ends early: part of it is missing", _AGAIN),
    (r"checksum|[Cc]orrupt", "is damaged: a checksum in it is wrong", _AGAIN),
    (r"WAL", "has a log beside it (.wal) that cannot be replayed", "Open it once in the program that wrote it."),
    (
        r"No files found|Cannot open file|No such file",
        "holds a view of files that are not there",
        "Make the view a table (create table … as from …), or restore its files.",
    ),
)


@contextmanager
def open_file(path: Path) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Yield a read-only connection to a DuckDB file. Raises DeepicdError for one that cannot be opened or read."""
    import duckdb

    check_kind(path)
    try:
        with duckdb.connect(str(path), read_only=True, config=dict(_OFFLINE)) as db:
            db.execute("set enable_progress_bar = false")  # it goes to stdout
            yield db
    except duckdb.Error as error:
        raise explain_file_error(path, error) from None


@contextmanager
def open_database(spill: Path | None = None) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Yield an empty database in memory, which may spill into a folder.

    Raises OSError for a full disk, DeepicdError where memory runs short or DuckDB fails.
    """
    import duckdb

    try:
        with duckdb.connect(config={"memory_limit": MEMORY, **_OFFLINE}) as db:
            db.execute("set enable_progress_bar = false")
            if spill:
                db.execute(f"set temp_directory = {quote_sql(str(spill))}")
            yield db
    except duckdb.Error as error:
        if "No space left" in str(error):
            raise OSError(ENOSPC, "No space left on device") from None
        if isinstance(error, duckdb.OutOfMemoryException):
            raise DeepicdError(
                "DuckDB ran out of memory, or of disk to spill to.", "Free some of both, then rerun the command."
            ) from None
        if re.search("Permission denied|Read-only file system", str(error)):
            raise DeepicdError(
                f"DuckDB may not write into {spill}.", "Name an output folder that this user may write to."
            ) from None
        raise DeepicdError(
            f"DuckDB failed on the copy's tables ({type(error).__name__}).",
            "Its message is not shown, since it may quote a row. Please report the command and this line.",
        ) from None


def explain_file_error(path: Path, error: "duckdb.Error") -> DeepicdError:
    """Return why a DuckDB file cannot be read."""
    import duckdb

    text = str(error)
    process = re.search(r"PID (\d+)", text)
    for sign, what, advice in _CAUSES:
        if re.search(sign, text):
            happened = what.format(process=f" (process {process[1]})" if process else "", version=duckdb.__version__)
            return DeepicdError(f"{path} {happened}.", advice)
    return DeepicdError(
        f"DuckDB cannot read {path} ({type(error).__name__}).",
        "DuckDB's message is not shown, since it may quote a row; run DuckDB on the file to see it.",
    )


def quote_sql(text: str) -> str:
    """Return a SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def quote_name(text: str) -> str:
    """Return a SQL identifier in quotes."""
    return '"' + text.replace('"', '""') + '"'
