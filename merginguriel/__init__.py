"""MergingUriel: decide whether and how to merge language models for a target language, and do it."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `frame` on first use: it needs pandas, and `mu advise` does not."""
    if name != "frame":
        raise AttributeError(f"module 'merginguriel' has no attribute {name!r}")
    from importlib import import_module

    return import_module("merginguriel.report.frame").frame
