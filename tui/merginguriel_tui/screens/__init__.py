"""Screens, one per file, and their data."""
