"""Locate, read, fetch and verify a copy of MIMIC-IV and MIMIC-IV-Note."""
