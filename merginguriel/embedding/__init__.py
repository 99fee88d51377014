"""Cross-lingual sentence embeddings: training, retrieval and the composition of training data."""
