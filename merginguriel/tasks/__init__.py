"""Tasks that models are trained and scored on, one file each; `registry.load` finds them by name."""

from .registry import Item, TaskData, load, locales, tasks

__all__ = ["Item", "TaskData", "load", "locales", "tasks"]
