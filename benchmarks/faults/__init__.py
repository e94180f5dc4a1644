"""What becomes of each stage under kills, full disks and damaged inputs: `make faults` writes docs/reliability.md."""
