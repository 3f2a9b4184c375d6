"""How long rows are kept."""
