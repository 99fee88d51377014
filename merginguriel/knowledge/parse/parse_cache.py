"""How is knowledge that has not changed read again in no time? As it was parsed, from the user's cache.

It is kept under a digest of every text that it was parsed from and of the program that parsed it: what has changed is
parsed again, whatever the clock says. Only the classes below are read back, so that a file which somebody put there
runs nothing.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from merginguriel import __version__, files
from merginguriel.errors import MuError

ALLOWED = {
    "merginguriel.knowledge.parse.claims": {"Claim"},
    "merginguriel.knowledge.parse.entries": {"Entry"},
    "merginguriel.knowledge.parse.expectations": {"Expectation"},
    "merginguriel.knowledge.parse.questions": {"OpenQuestion", "Settled"},
    "merginguriel.knowledge.parse.troubleshooting": {"Pattern", "Trouble"},
    "merginguriel.knowledge.parse.invalidation": {"Mark", "Selector"},
    "merginguriel.knowledge.parse.rows": {"ResultRow"},
    "merginguriel.knowledge.parse.skills": {"Skill"},
    "pathlib": {"PosixPath", "WindowsPath"},
    "pathlib._local": {"PosixPath", "WindowsPath"},
}
WORKSPACES = 32  # of as many workspaces knowledge is kept; that of the one unused for longest gives way


class Reader(pickle.Unpickler):
    """Reads back the parts of knowledge and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if name in ALLOWED.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is no part of knowledge")


def digest(texts: Mapping[Path, str]) -> str:
    """Of the texts, where they lie, and the program that reads them."""
    found = hashlib.sha256(program().encode())
    for path, text in texts.items():
        for part in (str(path), text):
            data = part.encode("utf-8")
            found.update(len(data).to_bytes(8, "big"))
            found.update(data)
    return found.hexdigest()


def program() -> str:
    """What decides how a text is parsed: the version, and in a checkout the state of the files that parse."""
    package = Path(__file__).resolve().parents[2]
    parts = [__version__]
    others = ("locales.py", "locales.tsv", "stats.py", "similarity/__init__.py")
    for path in (*sorted(package.glob("knowledge/**/*.py")), *(package / name for name in others)):
        status = path.stat()
        parts.append(f"{path.name}:{status.st_size}:{status.st_mtime_ns}")
    return "\n".join(parts)


def recall(root: Path, key: str) -> Any:
    """What `remember` was given for this workspace and key; None if that is not there."""
    path = place(root)
    try:
        found = Reader(io.BytesIO(path.read_bytes())).load()
        os.utime(path)
    except (OSError, ValueError, EOFError, ArithmeticError, pickle.UnpicklingError):
        return None
    except (AttributeError, ImportError, IndexError, KeyError, TypeError):
        return None  # a damaged file can name anything
    return found[1] if isinstance(found, tuple) and len(found) == 2 and found[0] == key else None


def remember(root: Path, key: str, found: Any) -> None:
    """Keep it, if there is a place: a cache that cannot be written is no error."""
    path = place(root)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(path, pickle.dumps((key, found), protocol=5))
        kept = sorted(path.parent.glob("*.pickle"), key=lambda one: one.stat().st_mtime_ns)
        for old in kept[:-WORKSPACES]:
            old.unlink(missing_ok=True)
    except (OSError, MuError):
        return


def place(root: Path) -> Path:
    """`$XDG_CACHE_HOME/merginguriel/knowledge/…`, in ~/.cache by default; one file for each workspace."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:24]
    return Path(cache) / "merginguriel" / "knowledge" / f"{name}.pickle"
