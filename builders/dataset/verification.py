"""Rows of `deepicd verify` for the traces of a dataset."""

from collections.abc import Mapping
from pathlib import Path

from builders.dataset.rows_by_note import Row, RowsByNote, read_rows
from builders.dataset.selection import NEED_VERIFICATION
from deepicd import records
from deepicd.errors import DeepicdError
from deepicd.schema import VERIFIED
from deepicd.stage_records import VerifyRecord

MARKER = "verified"


def find_verification(folder: Path | None, rule: str) -> Path | None:
    """Return the folder of a finished verification. Raises DeepicdError where a rule needs one and none is given."""
    if folder is None:
        if rule in NEED_VERIFICATION:
            raise DeepicdError(f"--select {rule} needs what `deepicd verify` found.", "Name its output: --verified DIR")
        return None
    return records.find_run_folder(folder, VerifyRecord, MARKER)[0]


def read_verification(folder: Path | None) -> RowsByNote | None:
    """Return the rows of a verification; None without one."""
    return RowsByNote(read_rows(folder / MARKER, VERIFIED, VERIFIED.names)) if folder else None


def require_verification(rows: Mapping[str, Row], trace_sha256: str) -> Row:
    """Return the row of a trace. Raises DeepicdError where the verification has none: it was of other traces."""
    row = rows.get(trace_sha256)
    if row is None:
        raise DeepicdError(
            "The verification lacks some of these traces: it is of others, or was limited.",
            "Verify these traces: deepicd verify TRACES OUT",
        )
    return row
