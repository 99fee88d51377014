"""Parse the written knowledge: skills, claims, log entries and their result rows."""
