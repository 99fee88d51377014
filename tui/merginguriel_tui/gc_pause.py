"""When may Python look for garbage? Never while somebody waits: with 10,000 entries in memory a full look takes 0.2 s."""

from __future__ import annotations

import gc
import time

QUIET = 5.0  # seconds without a key or a movement of the mouse
AGAIN = 60.0  # seconds between two full looks
# Net allocations to a look at the newest; those to the next older; those to all, which is left to `tidy`, but for a flood.
YOUNG, MIDDLE, OLD = 2_000, 5, 5_000


def wait() -> None:
    """Before a start: nothing of it is garbage, and looking takes a tenth of it."""
    gc.disable()


def begin() -> None:
    """The first frame is there. What was made for it stays: none of it need be looked at again."""
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
    gc.enable()


class Tidy:
    """Looks for all garbage at a time when nobody does anything."""

    def __init__(self) -> None:
        self.touched = self.tidied = time.monotonic()

    def touch(self) -> None:
        self.touched = time.monotonic()

    def look(self) -> bool:
        """Look if it is quiet, something was allocated since, and the last look is long ago. True: it was done."""
        now = time.monotonic()
        due = now - self.touched >= QUIET and now - self.tidied >= AGAIN and gc.get_count()[2] > 0
        if due:
            gc.collect()
            self.tidied = time.monotonic()
        return due
