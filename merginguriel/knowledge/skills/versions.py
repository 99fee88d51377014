"""Committed states of skills by version, cached.

One version has one meaning: whoever installed a skill at 1.2.0 must not find another 1.2.0 that says something else,
be it that a raise was forgotten, or that two branches raised it to the same version.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merginguriel import cache
from merginguriel.errors import KnowledgeError, MuError
from merginguriel.knowledge import git
from merginguriel.knowledge.parse import parse_cache
from merginguriel.knowledge.parse.skills import Skill, parse_skill

from .diff import meaning, raised

History = dict[
    str, list[tuple[str, str, str]]
]  # skill → (commit, version, digest of its meaning), newest first


@dataclass(frozen=True)
class Clash:
    """An earlier state of a skill with another meaning and the same version or a higher one."""

    commit: str
    before: Skill


def clash(history: History, skill: Skill) -> Clash | None:
    """Return the newest committed state with another meaning whose version this skill does not exceed."""
    now = meaning(skill)
    for commit, version, meant in history.get(skill.path.parent.name, ()):
        if meant != now and not raised(version, skill.version):
            before = _at(skill.path.parent.parent, [(commit, skill.path.parent.name)])[0]
            if before is not None:
                return Clash(commit, before)
    return None


def history(folder: Path) -> History:
    """Return the states of every skill in `folder` at the commits behind HEAD that changed it, merges included.

    Kept in the user's cache; of commits that came since, only those are read. States that cannot be read, and those
    of skills from elsewhere, are left out.

    Raises:
        MuError: Where git has no HEAD.
    """
    head, program = git.commit(folder, "HEAD"), hashlib.sha256(parse_cache.program().encode()).hexdigest()
    cached = _recall(folder)
    if cached is not None and (cached["program"], cached["head"]) == (program, head):
        return cached["skills"]
    if cached is None or cached["program"] != program or not _behind(folder, cached["head"], head):
        cached = {"program": program, "head": "", "skills": {}}
    result: History = cached["skills"]
    fresh = _states(folder, f"{cached['head']}..{head}" if cached["head"] else head)
    for name, states in fresh.items():
        result[name] = [*states, *result.get(name, ())]
    cache.write(place(folder), json.dumps({"program": program, "head": head, "skills": result}).encode())
    return result


def _behind(folder: Path, old: str, head: str) -> bool:
    try:
        git.ask(folder, "merge-base", "--is-ancestor", old, head)
    except MuError:
        return False
    return True


def _states(folder: Path, revisions: str) -> History:
    # Without --full-history, git leaves out a branch whose changes a merge did not take over.
    output = git.ask(
        folder, "log", "--full-history", "-m", "--no-renames", "--no-ext-diff", "--relative", "--name-only",
        "--format=%x01%H", revisions, "--", ".",
    ).decode("utf-8", "surrogateescape")  # fmt: skip
    files: dict[tuple[str, str], None] = {}
    commit = ""
    for line in output.split("\n"):
        if line.startswith("\x01"):
            commit = line[1:]
        elif line.endswith(("/SKILL.md", "/claims.yaml")) and line.count("/") == 1:
            files[commit, line.partition("/")[0]] = None
    result: History = {}
    for (commit, name), skill in zip(files, _at(folder, list(files)), strict=True):
        if skill is not None and not skill.foreign:
            result.setdefault(name, []).append((commit, skill.version, meaning(skill)))
    return result


def _at(folder: Path, files: list[tuple[str, str]]) -> list[Skill | None]:
    """Return the skills of these (commit, name); None where one was missing or cannot be compared."""
    names = [(commit, f"{name}/{file}") for commit, name in files for file in ("SKILL.md", "claims.yaml")]
    texts = git.texts(folder, names)
    read: dict[tuple[str, str, str | None], Skill | None] = {}
    result: list[Skill | None] = []
    for (_, name), text, claims in zip(files, texts[::2], texts[1::2], strict=True):
        if text is not None and (name, text, claims) not in read:
            try:
                read[name, text, claims] = parse_skill(text, folder / name / "SKILL.md", claims)
            except KnowledgeError:
                read[name, text, claims] = None
        result.append(None if text is None else read[name, text, claims])
    return result


def _recall(folder: Path) -> dict[str, Any] | None:
    try:
        result = json.loads(cache.read(place(folder)) or b"")
        states = {
            str(n): [(str(c), str(v), str(m)) for c, v, m in cached] for n, cached in result["skills"].items()
        }
        return {"program": str(result["program"]), "head": str(result["head"]), "skills": states}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def place(folder: Path) -> Path:
    """Return the cache file of a folder of skills."""
    return cache.of_folder("versions", folder, ".json")
