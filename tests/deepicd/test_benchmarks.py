"""The table of benchmarks is that of the results beside it."""

from benchmarks import measure


def test_the_table_of_results_is_up_to_date() -> None:
    assert (measure.RESULTS / "README.md").read_text(encoding="utf-8") == measure.format_table()
