"""The tables of execution engines and targets."""
