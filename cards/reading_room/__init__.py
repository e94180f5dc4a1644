"""The reading room: traces beside their notes, on pages that a browser reads from this machine or from a folder."""
