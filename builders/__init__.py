"""From a copy of MIMIC-IV to a cohort of admission notes, and from cohort and traces to the dataset folder."""
