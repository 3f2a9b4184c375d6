"""Models: the only place that knows the providers' libraries. Others see `port` and `Models`."""
