"""Locate and read a copy of MIMIC-IV and MIMIC-IV-Note."""
