"""Cache of parsed knowledge.

The key is a digest of every text and of the program that parsed it, so that any change is parsed anew. Only the
classes below are unpickled: a foreign file in the cache cannot run anything.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from merginguriel import __version__, cache

ALLOWED = {
    "merginguriel.knowledge.problems": {"Problem"},
    "merginguriel.knowledge.parse.claims": {"Claim"},
    "merginguriel.knowledge.parse.entries": {"Entry"},
    "merginguriel.knowledge.parse.expectations": {"Expectation"},
    "merginguriel.knowledge.parse.questions": {"OpenQuestion", "QuestionSettlement"},
    "merginguriel.knowledge.parse.troubleshooting": {"Pattern", "Trouble"},
    "merginguriel.knowledge.parse.invalidation": {"Mark", "Selector"},
    "merginguriel.knowledge.parse.rows": {"ResultRow"},
    "merginguriel.knowledge.parse.skills": {"Skill"},
    "pathlib": {"PosixPath", "WindowsPath"},
    "pathlib._local": {"PosixPath", "WindowsPath"},
}
WORKSPACES = 32  # number of cached workspaces; the least recently used is removed


class KnowledgeUnpickler(pickle.Unpickler):
    """Unpickler for some classes only: by default those of parsed knowledge."""

    def __init__(self, file: io.BytesIO, allowed: Mapping[str, Set[str]] = ALLOWED) -> None:
        """Read from `file` the classes that `allowed` names for each module."""
        super().__init__(file)
        self.allowed = allowed

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed class; raise UnpicklingError for any other."""
        if name in self.allowed.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not an allowed class")


def digest(texts: Mapping[Path, str]) -> str:
    """Return the key of these texts: their paths and contents, and the program that parses them."""
    result = hashlib.sha256(program().encode())
    for path, text in texts.items():
        for part in (str(path), text):
            data = part.encode("utf-8", "surrogateescape")
            result.update(len(data).to_bytes(8, "big"))
            result.update(data)
    return result.hexdigest()


def program() -> str:
    """Return what decides how a text is parsed: the version, and the stamps of the files that parse."""
    package = Path(__file__).resolve().parents[2]
    parts = [__version__]
    others = (package / name for name in ("locales.py", "locales.tsv", "stats.py"))
    folders = ("knowledge/**", "metrics", "similarity")  # the last two register names that a row may use
    for path in (*(path for name in folders for path in sorted(package.glob(f"{name}/*.py"))), *others):
        status = path.stat()
        parts.append(f"{path.name}:{status.st_size}:{status.st_mtime_ns}")
    return "\n".join(parts)


def recall(root: Path, key: str, kind: str = "knowledge") -> Any:
    """Return what `remember` stored for this workspace and key; None if nothing is stored."""
    result = loaded(cache.read(place(root, kind)))
    return result[1] if isinstance(result, tuple) and len(result) == 2 and result[0] == key else None


def loaded(data: bytes | None, allowed: Mapping[str, Set[str]] = ALLOWED) -> Any:
    """Return the content of a cache file that names allowed classes only; None for another, and for a damaged one."""
    if data is None:
        return None
    try:
        return KnowledgeUnpickler(io.BytesIO(data), allowed).load()
    except (ValueError, EOFError, ArithmeticError, pickle.UnpicklingError):
        return None
    except (AttributeError, ImportError, IndexError, KeyError, TypeError):
        return None  # a damaged file can name anything


def remember(root: Path, key: str, parsed: Any, kind: str = "knowledge") -> None:
    """Store parsed knowledge under its key; a cache that cannot be written is no error."""
    cache.write(place(root, kind), pickle.dumps((key, parsed), protocol=5), keep=WORKSPACES)


def place(root: Path, kind: str = "knowledge") -> Path:
    """Return the cache file of a workspace: `knowledge` as parsed, or `statuses` of its claims."""
    return cache.of_folder(kind, root, ".pickle")
