"""`deepicd review`: people rate traces on the pages of the reading room; how far they agree, with a judge too."""
