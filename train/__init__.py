"""From the dataset to trained and evaluated models: rewards, SFT, GRPO, evaluation and the paper's tables."""
