"""MCP server: the tools and skills that agents use."""
