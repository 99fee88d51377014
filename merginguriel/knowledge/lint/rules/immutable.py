"""Rule: an entry does not change after its first commit."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path, PurePosixPath

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse.entries import ID

SECONDS = 30  # time limit for reading the history
HINT = "Restore it: git restore --source={commit} -- {name}\nTo correct it, add a new entry that names it: mu log add"
# git knows these two trees in every repository, by the length of its names.
EMPTY_TREES = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}


def check(knowledge: Knowledge) -> list[Problem]:
    """Report entries, row files and figures that changed since they were first committed, and removed entries.

    None where there is no git. Of a removed file, the entry that names it tells.
    """
    log = knowledge.space.log
    first: dict[str, tuple[str, str]] = {}  # path in the log → the commit that brought it, and its blob there
    # Children come before their parents, so that the commit which brought a file has the last word. Against each parent
    # of a merge, since a merge may bring files of its own.
    arguments = ("log", "--format=%x00%H", "-m", "--full-history", "--topo-order", "--diff-filter=A")
    for commit, blob, name in _listed(log, *arguments):
        if _counts(name):
            first[name] = commit, blob
    if not first:
        return []
    empty = EMPTY_TREES[len(next(iter(first.values()))[1])]
    # git's id of a file on disk: after its filters and line ends, zeros if it differs from the index.
    now = {name: blob for _, blob, name in _listed(log, "diff", empty)}
    entries = {path.name: path for path in log.glob("[!.]*/*.md")}
    result = []
    for name, (commit, blob) in sorted(first.items()):
        if now.get(name) == blob:
            continue
        path = log / name
        if path.suffix == ".md" and not path.is_file():
            path = entries.get(path.name, path)  # moved
        hint = HINT.format(commit=commit[:12], name=f"{log.name}/{name}")
        if path.is_file():
            if blob not in _blobs(path):
                kind = "entry" if path.suffix == ".md" else "file of an entry"
                where = f"{path}:1" if path.suffix == ".md" else str(path)
                result.append(Problem(where, f"this {kind} was changed after its first commit.", hint))
        elif path.suffix == ".md":
            result.append(Problem(str(path), "this entry was removed after its first commit.", hint))
    return result


def _counts(name: str) -> bool:
    """Return whether a file is an entry or a row file or figure."""
    path = PurePosixPath(name)
    if any(part.startswith(".") for part in path.parts):
        return False
    return path.suffix in (".csv", ".png") or (path.suffix == ".md" and ID.match(path.stem) is not None)


def _listed(log: Path, command: str, *words: str) -> list[tuple[str, str, str]]:
    """Return (commit, blob after it, path in the log) of each change that git lists, in its order."""
    if not log.is_dir():
        return []
    call = ["git", "-c", "core.fsmonitor=false", "-C", str(log), command, *words, "--raw", "--no-renames", "--no-abbrev",
            "--relative", "-z", "--", "."]  # fmt: skip
    try:
        process = subprocess.run(
            call, capture_output=True, timeout=SECONDS, env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    if process.returncode != 0:
        return []  # no repository, or nothing is committed yet
    result, commit, change = [], "", ""
    for part in process.stdout.decode("utf-8", "replace").split("\0"):
        text = part.strip("\n")
        if text.startswith(":"):
            change = text.split()[3]
        elif change:
            result.append((commit, change, text))
            change = ""
        elif text:
            commit = text
    return result


def _blobs(path: Path) -> set[str]:
    """Return the blob ids that git may have for a file's bytes, with either kind of line end."""
    data = path.read_bytes()
    result = set()
    for text in (data, data.replace(b"\r\n", b"\n")):
        for kind in ("sha1", "sha256"):
            result.add(hashlib.new(kind, b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest())
    return result
