"""MergingUriel: decide whether and how to merge language models for a target language, and do it."""

__version__ = "0.1.0"
