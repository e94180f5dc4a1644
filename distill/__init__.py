"""Reasoning traces from a cohort and what is known of its codes, each one checked."""
