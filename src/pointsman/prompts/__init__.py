"""Versioned prompt templates with labels."""
