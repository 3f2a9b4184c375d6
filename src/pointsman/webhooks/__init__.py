"""Webhooks: what happened is told to tenants' endpoints and the operator's channels, from rows written where it happened."""
