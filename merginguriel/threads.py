"""How many threads may numpy's linear algebra take? For the small matrices of an answer, one."""

from __future__ import annotations

import os
import sys
from threading import Lock

NAMES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
_changed = Lock()  # held while the environment says one thread


def numpy_with_one() -> None:
    """Import numpy so that its matrices take one thread: more cost more than they bring, most where others work too.

    What the environment says is respected, and left as it was: a run that is started later takes every core.
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
    """The environment for a program that is started now, as it was given to this one."""
    with _changed:
        return dict(os.environ)
