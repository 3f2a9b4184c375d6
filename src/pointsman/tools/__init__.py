"""Built-in tools, and the port through which the turn loop calls any tool."""
