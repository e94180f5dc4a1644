"""Evaluation: predictions or a model's answers against true codes, with intervals, tables and a report."""
