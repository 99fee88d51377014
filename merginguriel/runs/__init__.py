"""Runs on disk, their workers, sweeps and index."""
