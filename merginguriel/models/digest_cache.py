"""What is the sha256 of this file, without reading a gigabyte again for every merge of a study?

A digest is kept in the user's cache under the file's identity (device, inode, size, time of the last change). A
file that changed within the last seconds is not remembered: a second change could bear the same time.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

from merginguriel import files
from merginguriel.errors import MuError

SETTLED = 5_000_000_000  # nanoseconds since the last change after which a file counts as at rest


def digest(path: Path) -> str:
    """The sha256 of the file's bytes, in hexadecimal; from the cache if the file is the one seen then."""
    status = path.stat()
    if kept := recalled(path):
        return kept
    found = files.sha256(path)
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED:
        remember(place(status), found)
    return found


def recalled(path: Path) -> str | None:
    """The digest if it is in the cache; the file itself is not read."""
    try:
        known = place(path.stat()).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return known if len(known) == 64 else None


def place(status: os.stat_result) -> Path:
    """Where the digest of the file with this identity is kept."""
    identity = f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"
    return cache_folder() / hashlib.sha256(identity.encode()).hexdigest()


def remember(kept: Path, found: str) -> None:
    """Write the digest down, if there is a place for it: a cache that cannot be written is no error."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(kept, found + "\n")
    except (OSError, MuError):
        return


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/merginguriel/sha256`, in ~/.cache by default."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "merginguriel" / "sha256"
