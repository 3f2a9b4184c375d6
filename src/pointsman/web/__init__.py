"""What routes may ask for: the caller, a service, a page, a stream."""
