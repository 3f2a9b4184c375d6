"""Budgets of keys, tenants, users and agents: what may be spent in a day or a month, reserved before each call and settled after it."""
