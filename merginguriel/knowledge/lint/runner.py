"""Run all lint rules over a workspace, or return the cached result where nothing has changed.

The cache key covers the stamps of every file that a rule may read, the program's own files, the commits that git knows,
and the day.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from pathlib import Path

from merginguriel import __version__, cache
from merginguriel.errors import MuError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims import row_status
from merginguriel.knowledge.log.vocabulary import Program
from merginguriel.knowledge.parse.entries import Entry, entry_paths, parse_entry
from merginguriel.knowledge.parse.file_stamps import is_settled, stamp, stamps
from merginguriel.knowledge.parse.prose_numbers import NAME_THE_UNIT, bare_differences
from merginguriel.knowledge.parse.skills import Skill, no_skill_file, read_skill, skill_paths
from merginguriel.knowledge.parse.yaml_lines import read_text
from merginguriel.workspace import MARKER, Workspace

from .rules import Problem, check_all

INSTALLED = (".agents/skills", ".claude/skills")  # folders of installed skills, each with its registry


def problems(space: Workspace, program: Program | None = None) -> list[Problem]:
    """Return everything wrong in a workspace: unreadable files first, then what the rules report.

    Args:
        space: The workspace.
        program: Merging methods of the program, each with its parameters.
    """
    result: list[Problem] = []
    skills: list[Skill] = []
    entries: list[Entry] = []
    if not skill_paths(space.skills):
        result.append(
            Problem(str(space.skills), "this folder has no skills.", "Restore them with: mu init --restore")
        )
    for folder in sorted(space.skills.glob("*/")) if space.skills.is_dir() else []:
        if not (folder / "SKILL.md").is_file() and not folder.name.startswith("."):
            result.append(_of_error(no_skill_file(folder), folder))
    for path in skill_paths(space.skills):
        try:
            skills.append(read_skill(path.parent))
        except MuError as error:
            result.append(_of_error(error, path))
    for path in entry_paths(space.log):
        try:
            text = read_text(path)
            result += [
                Problem(
                    f"{path}:{line}",
                    f"says {words!r}: percent of the baseline, or percentage points?",
                    NAME_THE_UNIT,
                )
                for line, words in bare_differences(text)
            ]
            entries.append(parse_entry(text, path))
        except MuError as error:
            result.append(_of_error(error, path))
    knowledge = Knowledge(space, tuple(skills), row_status.derive(entries), "", program or {})
    return result + check_all(knowledge)


def _of_error(error: MuError, path: Path) -> Problem:
    return Problem(error.where or str(path), error.what, error.hint or "")


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
    if not full and (result := _recall(space.root, key)) is not None:
        return result
    result = problems(space, program())
    # A file that was written just now may change again without a change of its stamp.
    if all(map(is_settled, seen.values())) and _digest(_read_files(space), space) == key:
        text = json.dumps({"key": key, "problems": [asdict(item) for item in result]})
        cache.write(place(space.root), text.encode())
    return result


def _read_files(space: Workspace) -> dict[str, str]:
    """Map every file that a rule may read to its stamp."""
    result: dict[str, str] = {}
    for folder, depth in ((space.skills, 8), (space.log, 3), (space.runs, 2)):
        result |= stamps(space.root, folder, depth=depth)
    for name in INSTALLED:
        result |= stamps(space.root, space.root / name)
    for path in (space.root / MARKER, *space.root.glob("*.json"), *space.root.glob("*.lock")):
        with suppress(OSError):
            result[path.name] = stamp(path.stat())
    return result


def _digest(seen: dict[str, str], space: Workspace) -> str:
    program = Path(__file__).resolve().parents[2]
    ours = [*program.glob("*.py"), *program.glob("*.tsv"), *program.glob("knowledge/**/*.py")]
    ours += [*program.glob("similarity/*.py"), *program.glob("merging/methods/*.py")]
    parts = [__version__, str(date.today()), repr(sorted(space.settings.items())), _git_state(space.root)]
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
        return [Problem(**item) for item in result["problems"]] if result["key"] == key else None
    except (ValueError, KeyError, TypeError):
        return None


def place(root: Path) -> Path:
    """Return the cache file of a workspace."""
    return cache.of_folder("lint", root, ".json")
