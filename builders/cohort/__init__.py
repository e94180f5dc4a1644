"""From a copy of MIMIC-IV to a cohort: admission notes, their first diagnosis, and the splits."""
