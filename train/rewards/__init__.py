"""Rewards for GRPO: what an answer earns, as TRL and verl call it, and a benchmark of the reward variants."""
