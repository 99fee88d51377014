"""Cache of fitted variance components, so that a second question fits nothing.

The key is a digest of all that a fit looks at (merges, gains, noise, features) and of the program that fits: whatever
the workspace, mode, day or vetoes, the same evidence settles at the same variances, and other evidence is fitted anew.
Every variance is kept as the float that it is, so that the answer is the same to the last bit.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from merginguriel import __version__, files
from merginguriel.errors import MuError

from .evidence import Arm, Noise

FITTING = ("covariance.py", "estimate.py", "evidence.py", "replicates.py")
KEPT = 64  # fits; the one unused for longest gives way


def digest(arms: Sequence[Arm], gains: np.ndarray, noise: Noise, features: np.ndarray) -> str:
    """Return a digest of the observations and of the program that fits them."""
    here = Path(__file__).resolve().parent
    parts = [__version__, np.__version__]
    for name in FITTING:
        status = (here / name).stat()
        parts.append(f"{name}:{status.st_size}:{status.st_mtime_ns}")
    numbers = {arm: i for i, arm in enumerate(dict.fromkeys(arms))}
    parts.append(repr(list(numbers)))
    of = np.array([numbers[arm] for arm in arms])
    found = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape"))
    for array in (of, gains, *noise, features):
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def recall(key: str, effects: int) -> np.ndarray | None:
    """Return the stored variances, [effects] pp²; None if there are none of this length."""
    path = place(key)
    try:
        found = np.array(json.loads(path.read_text(encoding="utf-8"))[key], dtype=float)
        os.utime(path)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.shape == (effects,) and np.isfinite(found).all() and (found > 0).all() else None


def remember(key: str, variances: np.ndarray) -> None:
    """Store variances; a cache that cannot be written is not an error."""
    path = place(key)
    with suppress(MuError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(path, json.dumps({key: variances.tolist()}))
        kept = sorted(path.parent.glob("*.json"), key=lambda one: one.stat().st_mtime_ns)
        for old in kept[:-KEPT]:
            old.unlink(missing_ok=True)


def place(key: str) -> Path:
    """Return the file of a fit: `$XDG_CACHE_HOME/merginguriel/variances/…`, in ~/.cache by default."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "merginguriel" / "variances" / f"{key[:24]}.json"
