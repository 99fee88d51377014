"""Skills as files: create, compare, install, list."""
