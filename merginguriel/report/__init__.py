"""Reports on runs and log entries: comparisons, rankings, figures, pages."""
