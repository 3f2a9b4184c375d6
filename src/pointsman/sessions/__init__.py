"""Conversations: sessions, their messages as rows, and memories."""
