"""Schema of a run's configuration, read from YAML, flags and defaults."""
