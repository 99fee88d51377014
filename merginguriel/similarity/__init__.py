"""How alike are a source and a target? REAL from measured transfer; URIEL has its place beside it."""
