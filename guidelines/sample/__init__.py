"""A short made-up guideline PDF in the form of the CMS one, for tests and the demo."""
