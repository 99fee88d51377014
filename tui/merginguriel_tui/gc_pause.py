"""Garbage collection at idle times only: with 10,000 entries in memory a full collection takes 0.2 s."""

from __future__ import annotations

import gc
import time

QUIET = 5.0  # seconds without a key or mouse event
AGAIN = 60.0  # seconds between two full collections
# Thresholds of the three generations; the last is so high that full collections are left to `Tidy`.
YOUNG, MIDDLE, OLD = 2_000, 5, 5_000


def wait() -> None:
    """Pause collection during the start: nothing is garbage yet, and collecting takes a tenth of the time."""
    gc.disable()


def begin() -> None:
    """Resume collection after the first frame, without the objects made so far."""
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    gc.enable()


class Tidy:
    """Full collections while the user is idle."""

    def __init__(self) -> None:
        self.touched = self.tidied = time.monotonic()

    def touch(self) -> None:
        """Note that the user is active."""
        self.touched = time.monotonic()

    def look(self) -> bool:
        """Collect if the user is idle, the last collection is old, and objects were allocated since. Return True if done."""
        now = time.monotonic()
        due = now - self.touched >= QUIET and now - self.tidied >= AGAIN and gc.get_count()[2] > 0
        if due:
            gc.collect()
            self.tidied = time.monotonic()
        return due
