"""Circuit breakers: what keeps failing is left alone for a while, by the whole fleet, and then tried by one."""
