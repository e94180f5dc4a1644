"""Engines that complete prompts, one module per `--engine`, and what they share: runner, ledger, metrics."""
