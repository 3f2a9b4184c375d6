"""OpenAPI tools: chosen operations of a registered document, offered to models as tools and called through the checked way out."""
