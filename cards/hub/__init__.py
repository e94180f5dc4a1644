"""Publishing to the Hugging Face Hub: what may be public, easily; what may not, under conditions that are checked."""
