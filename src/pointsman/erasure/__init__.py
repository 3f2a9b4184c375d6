"""A user or a tenant leaves: exported first, then truly erased."""
