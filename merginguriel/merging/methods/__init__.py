"""Merging methods, one small file per family; a file added here is found by all clients."""
