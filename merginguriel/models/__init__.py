"""Checkpoints on disk, base models, encoders and heads."""
