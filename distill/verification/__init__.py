"""`deepicd verify`: what the stay itself says about a trace."""
