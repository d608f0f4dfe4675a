"""Stored requests priced again: what differs, corrections that say so, and rows that bear the new cost."""
