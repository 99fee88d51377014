"""Files in the user's cache and state folders: where they are, and how they are written.

A cache only saves time. One that is damaged, or that cannot be written, is treated as empty.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import platformdirs

from merginguriel import files
from merginguriel.errors import MuError

_DIRS = platformdirs.PlatformDirs("merginguriel", appauthor=False)


def folder(kind: str) -> Path:
    """Return the cache folder for one kind of data; on Linux `$XDG_CACHE_HOME/merginguriel/KIND`."""
    return _DIRS.user_cache_path / kind


def of_folder(kind: str, root: Path, suffix: str) -> Path:
    """Return the cache file that belongs to the folder `root`, such as a workspace; one per resolved path."""
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:24]
    return folder(kind) / f"{name}{suffix}"


def read(path: Path) -> bytes | None:
    """Return the content of a cache file and mark it as used; None if it cannot be read."""
    try:
        data = path.read_bytes()
        os.utime(path)
    except OSError:
        return None
    return data


def write(path: Path, data: bytes, *, keep: int | None = None) -> None:
    """Write a cache file in one step; do nothing if that is not possible.

    Args:
        path: File below `folder(kind)`.
        data: Its content.
        keep: Number of files of this suffix to keep in the folder; the least recently used are removed.
    """
    with suppress(MuError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(path, data)
        if keep is not None:
            by_use = sorted(path.parent.glob(f"*{path.suffix}"), key=lambda one: one.stat().st_mtime_ns)
            for old in by_use[:-keep]:
                old.unlink(missing_ok=True)
