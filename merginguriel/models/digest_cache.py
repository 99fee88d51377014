"""Cache of sha256 digests of large files, so that a study does not read gigabytes again for every merge.

A digest is stored under the file's identity (device, inode, size, time of the last change). The digest of a file
that changed within the last seconds is not stored: a second change could have the same time.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from pathlib import Path

from merginguriel import cache, files

_DIGEST = re.compile(r"[0-9a-f]{64}")
SETTLED = 5_000_000_000  # nanoseconds since the last change after which a file counts as unchanging


def digest(path: Path) -> str:
    """Return the sha256 of the file's bytes in hexadecimal, from the cache if the file is unchanged."""
    status = path.stat()
    if cached := cached_digest(path):
        return cached
    computed = files.sha256(path)
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED:
        cache.write(cache_file(status), f"{computed}\n".encode())
    return computed


def cached_digest(path: Path) -> str | None:
    """Return the cached digest without reading the file; None if it is not cached."""
    try:
        status = path.stat()
    except OSError:
        return None
    text = (cache.read(cache_file(status)) or b"").decode("ascii", "replace").strip()
    return text if _DIGEST.fullmatch(text) else None


def cache_file(status: os.stat_result) -> Path:
    """Return the cache file for the file with this identity."""
    identity = f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"
    return cache.folder("sha256") / hashlib.sha256(identity.encode()).hexdigest()
