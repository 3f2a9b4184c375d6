"""The table of users' tokens for other systems."""
