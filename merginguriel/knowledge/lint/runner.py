"""Run all lint rules over a workspace, or return the cached result where nothing has changed.

The cache key covers the stamps of every file that a rule may read, the program's own files, the commits that git knows,
and the day.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

from merginguriel import __version__, cache
from merginguriel.errors import MuError
from merginguriel.knowledge.base import MOST_BYTES, load_readable
from merginguriel.knowledge.log.known_names import Program
from merginguriel.knowledge.parse.entries import entry_paths
from merginguriel.knowledge.parse.file_stamps import FOLDER, NO_FILE, is_settled, stamp, stamps
from merginguriel.knowledge.parse.prose_numbers import NAME_THE_UNIT, bare_differences
from merginguriel.knowledge.parse.skills import no_skill_file, skill_paths
from merginguriel.knowledge.parse.yaml_lines import read_text
from merginguriel.knowledge.problems import Problem, of_error
from merginguriel.workspace import MARKER, Workspace

from .rules import check_all, evidence_links
from .rules.version import VARIABLE

INSTALLED = (".agents/skills", ".claude/skills")  # folders of installed skills, each with its registry


def problems(space: Workspace, program: Program | None = None) -> list[Problem]:
    """Return everything wrong in a workspace: unreadable files first, then what the rules report.

    Args:
        space: The workspace.
        program: Merging methods of the program, each with its parameters.
    """
    knowledge = replace(load_readable(space), program=program or {})
    result: list[Problem] = []
    paths = skill_paths(space.skills)
    if not paths:
        result.append(
            Problem(str(space.skills), "this folder has no skills.", "Restore them with: mu init --restore")
        )
    for folder in sorted(space.skills.glob("*/")) if space.skills.is_dir() else []:
        if folder / "SKILL.md" not in paths and not folder.name.startswith("."):
            result.append(of_error(no_skill_file(folder), folder))
    result += knowledge.problems
    for path in entry_paths(space.log):
        with suppress(MuError):  # reported above
            result += [
                Problem(
                    f"{path}:{line}",
                    f"says {words!r}: percent of the baseline, or percentage points?",
                    NAME_THE_UNIT,
                )
                for line, words in bare_differences(read_text(path, most=MOST_BYTES))
            ]
    return result + check_all(knowledge)


def cached_problems(
    space: Workspace, *, full: bool = False, program: Callable[[], Program] = dict
) -> list[Problem]:
    """Return what `problems` finds, from the cache where nothing has changed.

    Args:
        space: The workspace.
        full: Run the rules even where the cache has an answer.
        program: Called for the methods of the program where the rules run.
    """
    seen = _read_files(space)
    key = _digest(seen, space)
    if not full and (cached := _recall(space.root, key)) is not None:
        return cached
    result = problems(space, program())
    pointed = {str(path): _stamp_of(path) for path in evidence_links.pointed(load_readable(space))}
    # A file that was written just now may change again without a change of its stamp.
    settled = all(map(is_settled, (*seen.values(), *pointed.values())))
    if settled and _digest(_read_files(space), space) == key:
        answer = {"key": key, "pointed": pointed, "problems": [asdict(item) for item in result]}
        cache.write(place(space.root), json.dumps(answer).encode())
    return result


def _stamp_of(path: Path) -> str:
    """Return the stamp of a file that a text points to; whether a folder exists is all that counts."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return NO_FILE
    return FOLDER if stat.S_ISDIR(status.st_mode) else stamp(status)


def _read_files(space: Workspace) -> dict[str, str]:
    """Map every file that a rule may read to its stamp."""
    result: dict[str, str] = {}
    for folder, depth in ((space.skills, 8), (space.log, 3), (space.runs, 2)):
        result |= stamps(space.root, folder, depth=depth)
    for name in INSTALLED:
        result |= stamps(space.root, space.root / name)
    for path in (
        space.root / MARKER,
        *space.root.glob("*.json"),
        *space.root.glob("*.lock"),
        *_git_files(space),
    ):
        with suppress(OSError):
            result[str(path)] = stamp(path.stat())
    return result


def _git_files(space: Workspace) -> tuple[Path, ...]:
    """Return files that decide how git compares the log with its commits, besides the commits."""
    return (space.root / ".gitattributes", space.log / ".gitattributes", space.root / ".git" / "index")


def _digest(seen: dict[str, str], space: Workspace) -> str:
    program = Path(__file__).resolve().parents[2]
    ours = [*program.glob("*.py"), *program.glob("*.tsv"), *program.glob("knowledge/**/*.py")]
    ours += [
        path
        for name in ("similarity", "metrics", "merging/methods", "text")
        for path in program.glob(f"{name}/*.py")
    ]
    parts = [__version__, str(date.today()), repr(sorted(space.settings.items())), _git_state(space.root)]
    parts.append(os.environ.get(VARIABLE, ""))
    parts += sorted(f"{path}:{stamp(path.stat())}" for path in ours)
    parts += [f"{name}:{item}" for name, item in sorted(seen.items())]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _git_state(root: Path) -> str:
    """Return all commits that git has names for; '' without git. Rules compare files with what is committed."""
    try:
        ask = ["git", "-C", str(root), "rev-parse", "HEAD", "--all"]
        return subprocess.run(ask, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _recall(root: Path, key: str) -> list[Problem] | None:
    try:
        result = json.loads(cache.read(place(root)) or b"")
        if any(_stamp_of(Path(path)) != was for path, was in result["pointed"].items()):
            return None
        return [Problem(**item) for item in result["problems"]] if result["key"] == key else None
    except (ValueError, KeyError, TypeError):
        return None


def place(root: Path) -> Path:
    """Return the cache file of a workspace."""
    return cache.of_folder("lint", root, ".json")
