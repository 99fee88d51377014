"""Metrics: one file each, found through `merginguriel.metrics.registry`."""
