"""Download MIMIC-IV and MIMIC-IV-Note from PhysioNet, and compare a copy with its known releases."""
