"""Full-text search over skills, claims and log entries."""
