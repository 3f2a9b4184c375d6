"""The table of knowledge entries."""
