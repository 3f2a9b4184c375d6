"""Tools of MCP servers: registered as data, pinned by hash, called within bounds, and asked about again where they change."""
