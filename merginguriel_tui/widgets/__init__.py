"""Widgets that no screen owns alone."""
