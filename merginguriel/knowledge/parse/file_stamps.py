"""Detect changed files by size and times, without reading them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

# A file that was written less than this many seconds ago may change again without a change of its times: the clocks of
# file systems tick in milliseconds to two seconds.
UNSETTLED = 2.0
FOLDER, NO_FILE = "0:0:0:0", "-1:0:0:0"  # in place of a stamp


def stamp(status: os.stat_result) -> str:
    """Return size, times and inode of a file as text; no program can set the time of its last change."""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"


def is_settled(item: str, now: float | None = None) -> bool:
    """Return whether the file was written long enough ago that its next change will alter the stamp."""
    _, written, changed, _ = item.split(":")
    return max(int(written), int(changed)) / 1e9 < (time.time() if now is None else now) - UNSETTLED


def stamps(root: Path, folder: Path, *, depth: int = 8) -> dict[str, str]:
    """Map every file below `folder` (relative to `root`, `depth` folders deep, none hidden) to its stamp.

    Links are followed, as they are when the files are read. A folder is a name that ends in `/`; one without files
    is a problem too.
    """
    return dict(_stamps(os.fspath(folder), len(os.fspath(root)) + 1, depth))


def _stamps(folder: str, cut: int, depth: int) -> Iterator[tuple[str, str]]:
    try:
        with os.scandir(folder) as result:
            inside = list(result)
    except OSError:
        return
    for item in inside:
        if item.name.startswith("."):
            continue
        try:
            if item.is_dir():
                yield f"{item.path[cut:]}/", FOLDER
                if depth > 1:
                    yield from _stamps(item.path, cut, depth - 1)
            else:
                yield item.path[cut:], stamp(item.stat())
        except OSError:
            yield item.path[cut:], NO_FILE  # a link to nothing, or gone since the folder was read
