"""deepicd: the floor that every stage of the MIMIC-Reason factory stands on."""

__version__ = "0.1.0"
