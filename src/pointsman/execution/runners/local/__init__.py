"""Targets of type `local`: jobs on the worker's own host, each in namespaces and a cgroup of its own."""
