"""From advice to a run to a log entry and back: where knowledge and experiments meet."""
