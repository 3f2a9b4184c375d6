"""Domain-free tools: nothing here knows what an agent is."""
