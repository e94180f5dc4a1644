"""Fixtures of the crawl's tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from scrapers import crawl

Rows = Callable[[Path], dict[str, dict[str, Any]]]


@pytest.fixture(scope="session")
def rows() -> Rows:
    """Reads the table in a folder: code → row, in the order of the file."""
    return lambda out: {row["code"]: row for row in pq.read_table(out / crawl.TABLE).to_pylist()}
