"""One turn with one agent: plan it, open the run, drive it, persist it."""
