"""API keys: issue, authenticate, limit, rotate, revoke."""
