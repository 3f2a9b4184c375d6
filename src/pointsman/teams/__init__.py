"""The tables of teams and their members."""
