"""deepicd: what all stages of MIMIC-Reason share. It imports none of them, except for `cli` and `demo`."""

__version__ = "0.1.0"
