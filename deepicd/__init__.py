"""What all stages of MIMIC-Reason share. Only `cli`, `demo`, `chain` and `api` name stages."""

__version__ = "0.2.0"
