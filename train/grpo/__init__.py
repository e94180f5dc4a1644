"""Reinforcement learning with GRPO, run by verl or by TRL."""
