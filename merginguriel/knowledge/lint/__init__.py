"""Checks of skills and log; one rule a file in `rules`."""
