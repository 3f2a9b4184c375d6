"""A typed client of our own API."""
