"""Runs and their events: the one event writer, replay, replicas and take-over."""
