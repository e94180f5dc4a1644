"""Rows of `deepicd verify` for the traces of a dataset."""

from pathlib import Path
from typing import Any

from builders.dataset.selection import NEED_VERIFICATION
from deepicd import records, storage
from deepicd.errors import DeepicdError
from deepicd.schema import VERIFIED
from deepicd.stage_records import VerifyRecord

Row = dict[str, Any]
TraceKey = tuple[str, str]
"""note_id, SHA-256 of the trace"""
MARKER = "verified"


def find_verification(folder: Path | None, rule: str) -> Path | None:
    """Return the folder of a finished verification. Raises DeepicdError where a rule needs one and none is given."""
    if folder is None:
        if rule in NEED_VERIFICATION:
            raise DeepicdError(f"--select {rule} needs what `deepicd verify` found.", "Name its output: --verified DIR")
        return None
    return records.find_run_folder(folder, VerifyRecord, MARKER)[0]


def read_verification(folder: Path | None) -> dict[TraceKey, Row] | None:
    """Return the rows of a verification; None without one."""
    if folder is None:
        return None
    return {
        (row["note_id"], row["trace_sha256"]): row
        for path in sorted((folder / MARKER).glob("*.parquet"))
        for row in storage.read_table(path, VERIFIED).to_pylist()
    }


def require_verification(rows: dict[TraceKey, Row], key: TraceKey) -> Row:
    """Return the row of a trace. Raises DeepicdError where the verification has none: it was of other traces."""
    row = rows.get(key)
    if row is None:
        raise DeepicdError(
            "The verification lacks some of these traces: it is of others, or was limited.",
            "Verify these traces: deepicd verify TRACES OUT",
        )
    return row
