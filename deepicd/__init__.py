"""What all stages of MIMIC-Reason share. Only `cli` and `demo` import stages."""

__version__ = "0.1.0"
