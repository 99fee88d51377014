"""Number of cores, and the limit of numpy's linear algebra: one thread, for the small matrices of an answer."""

from __future__ import annotations

import os
import sys
from threading import Lock

NAMES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
_changed = Lock()  # held while the environment is changed


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def numpy_with_one() -> None:
    """Import numpy with one thread for its linear algebra: for small matrices more are slower.

    Settings of the environment are respected, and the environment is unchanged: a run that is started later uses all cores.
    """
    if "numpy" in sys.modules:
        return
    with _changed:
        new = [name for name in NAMES if name not in os.environ]
        os.environ.update(dict.fromkeys(new, "1"))
        try:
            import numpy  # noqa: F401
        finally:
            for name in new:
                os.environ.pop(name, None)


def environment() -> dict[str, str]:
    """Return the environment for a child process, as this process received it."""
    with _changed:
        return dict(os.environ)
