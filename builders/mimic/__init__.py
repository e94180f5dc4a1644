"""A copy of MIMIC-IV and MIMIC-IV-Note on disk: found, read, fetched and verified."""
