"""Parsers for result rows, log entries, claims and skills: text in, typed data out."""
