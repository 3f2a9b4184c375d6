"""The edge that does jobs: a process without HTTP, set going by the command line, stopped by a signal."""
