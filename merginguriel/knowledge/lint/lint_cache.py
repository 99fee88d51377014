"""Has anything changed that lint looks at? If not, what it found last time is what it finds.

Kept in the user's cache under the stamps of every file of skills, log and runs, of the program's own files, of what git
knows, and the day. A file that was written just now is not trusted to show its next change: nothing is kept then.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from pathlib import Path

from merginguriel import __version__, files
from merginguriel.errors import MuError
from merginguriel.knowledge.log.vocabulary import Program
from merginguriel.knowledge.parse.file_stamps import is_settled, stamp, stamps
from merginguriel.workspace import MARKER, Workspace

from . import runner
from .rules import Problem

INSTALLED = (".agents/skills", ".claude/skills")  # where installed skills lie, with their registry


def problems(space: Workspace, *, full: bool = False, program: Callable[[], Program] = dict) -> list[Problem]:
    """Everything wrong in a workspace, as `lint.problems` finds it. `full`: look again, whatever is kept.

    program  is asked for what `lint.problems` wants to know of the program, where nothing is kept
    """
    seen = looked_at(space)
    key = digest(seen, space)
    if not full and (found := recall(space.root, key)) is not None:
        return found
    found = runner.problems(space, program())
    if all(map(is_settled, seen.values())) and digest(looked_at(space), space) == key:
        remember(space.root, key, found)
    return found


def looked_at(space: Workspace) -> dict[str, str]:
    """Name → stamp of every file that a rule may read."""
    found: dict[str, str] = {}
    for folder, depth in ((space.skills, 8), (space.log, 3), (space.runs, 2)):
        found |= stamps(space.root, folder, depth=depth)
    for name in INSTALLED:
        found |= stamps(space.root, space.root / name)
    for path in (space.root / MARKER, *space.root.glob("*.json"), *space.root.glob("*.lock")):
        with suppress(OSError):
            found[path.name] = stamp(path.stat())
    return found


def digest(seen: dict[str, str], space: Workspace) -> str:
    """Of what lint looks at, of the program that looks, of what git knows, and of the day."""
    program = Path(__file__).resolve().parents[2]
    ours = [*program.glob("*.py"), *program.glob("*.tsv"), *program.glob("knowledge/**/*.py")]
    ours += [*program.glob("similarity/*.py"), *program.glob("merging/methods/*.py")]
    with_stamps = sorted(f"{path}:{stamp(path.stat())}" for path in ours)
    parts = [
        __version__,
        str(date.today()),
        repr(sorted(space.settings.items())),
        git_state(space.root),
        *with_stamps,
    ]
    parts += [f"{name}:{one}" for name, one in sorted(seen.items())]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def git_state(root: Path) -> str:
    """Every commit that a name stands for: rules compare files with what has landed. '' where there is no git."""
    try:
        ask = ["git", "-C", str(root), "rev-parse", "HEAD", "--all"]
        return subprocess.run(ask, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def recall(root: Path, key: str) -> list[Problem] | None:
    """What `remember` was given under this key; None if that is not there."""
    try:
        found = json.loads(place(root).read_text(encoding="utf-8"))
        return [Problem(**one) for one in found["problems"]] if found["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(root: Path, key: str, found: list[Problem]) -> None:
    """Keep it, if there is a place: a cache that cannot be written is no error."""
    with suppress(MuError, OSError):
        text = json.dumps({"key": key, "problems": [asdict(one) for one in found]})
        files.write_text(place(root), text)


def place(root: Path) -> Path:
    """`$XDG_CACHE_HOME/merginguriel/lint/…`, in ~/.cache by default; one file for each workspace."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:24]
    return Path(cache) / "merginguriel" / "lint" / f"{name}.json"
