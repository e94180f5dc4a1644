"""From cohort and traces to the dataset folder, and back from a bundle without notes."""
