"""Status, grade and provenance of claims, derived from result rows."""
