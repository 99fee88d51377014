"""Where the wings meet: takes advice, makes models and merges, and records what they score."""
