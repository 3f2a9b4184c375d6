"""The table of supervised runs."""
