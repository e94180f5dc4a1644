"""What an answer earns in training."""
