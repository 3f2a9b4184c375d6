"""The table of skills."""
