"""Markdown and YAML in, typed facts out: skills, claims, log entries and their result rows."""
