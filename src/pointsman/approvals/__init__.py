"""Approvals: what a person has to decide before a tool is called, as rows bound to the arguments that were shown."""
