"""Schedules: agents and teams that are asked by the clock, once each time, whichever replica looks."""
