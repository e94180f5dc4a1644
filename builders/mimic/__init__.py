"""Fetch and verify a copy of MIMIC-IV and MIMIC-IV-Note."""
