"""Rewards for GRPO: what an answer earns, as TRL and verl call them, and the bench that tries them."""
