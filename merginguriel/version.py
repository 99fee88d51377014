"""Version of this program, with the commit in a checkout."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from . import __version__


def code() -> str:
    """Return `0.1.0`, in a checkout with its commit: `0.1.0 1f2e3d4c5b6a+`."""
    return f"{__version__} {commit() or ''}".strip()


def measured_by() -> str:
    """Return the value of the column `code` of a result row: the commit of a checkout, else the version."""
    return commit() or __version__


@cache
def commit() -> str | None:
    """Return the commit of a checkout, with `+` if files in it were changed; None for an installed package.

    Computed once per process: a process runs the code that it has imported.
    """
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        # A tag would stand in the place of the commit, if any were asked for.
        ask = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
        return subprocess.run(ask, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
