"""Publishing to the Hugging Face Hub: easy for what may be public, under checked conditions for everything else."""
