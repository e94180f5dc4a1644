"""Checks of a trace against what became of its stay: pure functions over texts, for `verify`, rewards and benchmarks.

Nothing here opens an outcome (deepicd.outcome does); its texts come as arguments and only verdicts go out.
"""
