"""Checks of skills and log; the rules are in `rules`, one in each file."""
