"""A copy of MIMIC-IV and MIMIC-IV-Note: fetched from PhysioNet, checked against what is known of its releases."""
