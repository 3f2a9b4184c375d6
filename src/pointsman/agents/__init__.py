"""Agents as data, and their resolution into something runnable."""
