"""Benchmarks, each measured against a peer or a floor in the same run. `make benchmarks` runs them."""
