"""One small file per family of methods. A file put here is found by itself; no other file names it."""
