"""Supervised fine-tuning (SFT) with TRL: one run, and the worker process that trains."""
