"""A small made-up site in the layout of gesund.bund.de, for tests and the demo."""
