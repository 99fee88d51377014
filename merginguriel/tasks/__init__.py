"""What are models trained and scored on? One file per task; `base.load` finds them by name."""

from .base import Item, TaskData, load, locales, tasks

__all__ = ["Item", "TaskData", "load", "locales", "tasks"]
