"""The dataset card: what is in a dataset folder, rendered from its records and parquet footers."""
