"""The table of dispatched work."""
