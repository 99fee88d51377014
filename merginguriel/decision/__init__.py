"""Evidence in, advice out. Knows no model and no file: it is given what the knowledge base read."""
