"""Users' tokens for other systems: sealed at rest, kept fresh, and handed only to what acts for their user."""
