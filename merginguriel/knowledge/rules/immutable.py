"""Does every entry that git has seen still say what it said first? What has landed is corrected by a new entry."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from ..base import Knowledge
from ..entries import ID
from ..problem import Problem

SECONDS = 30  # after which a history is too long to be asked
MEND = "Restore it: git restore --source={commit} -- {name}\nWhat corrects it is a new entry that names it: mu log add"


def check(knowledge: Knowledge) -> list[Problem]:
    """Entries that were changed or removed since they were first committed. None where there is no git."""
    log = knowledge.space.log
    first: dict[
        str, tuple[str, str]
    ] = {}  # file → the commit that still has its first text, and that text's blob
    # Newest first, so that the oldest change has the last word.
    for commit, blob, path in [*_changes(log, "diff", "HEAD"), *_changes(log, "log", "--format=%x00%H")]:
        if ID.match(path.removesuffix(".md")) and path.endswith(".md"):
            first[path] = (commit, blob)
    here = {path.name: path for path in log.glob("[!.]*/*.md")} if first else {}
    found = []
    for name, (commit, blob) in sorted(first.items()):
        place = log / name[:4] / name
        mend = MEND.format(commit=commit, name=f"{log.name}/{name[:4]}/{name}")
        if name not in here:
            found.append(Problem(f"{place}", "this entry has landed and was removed.", mend))
        elif blob not in _blobs(here[name]):
            found.append(Problem(f"{here[name]}:1", "this entry was changed after it had landed.", mend))
    return found


def _changes(log: Path, command: str, *words: str) -> list[tuple[str, str, str]]:
    """(commit that still has the old text, old blob, file's name) of files changed or removed, newest first."""
    if not log.is_dir():
        return []
    call = ["git", "-c", "core.fsmonitor=false", "-C", str(log), command, *words, "--raw", "--no-renames", "--no-abbrev",
            "--diff-filter=MDT", "-z", "--", "."]  # fmt: skip
    try:
        told = subprocess.run(
            call, capture_output=True, timeout=SECONDS, env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    if told.returncode != 0:
        return []  # no repository, or nothing is committed yet
    found, commit, change = [], "HEAD", ""
    for part in told.stdout.decode("utf-8", "replace").split("\0"):
        text = part.strip("\n")
        if text.startswith(":"):
            change = text.split()[2]
        elif change:
            found.append((commit, change, text.rpartition("/")[2]))
            change = ""
        elif text:
            commit = f"{text[:12]}^"
    return found


def _blobs(path: Path) -> set[str]:
    """The names that git may have for this file's bytes: with line ends as they are, and as \\n."""
    data = path.read_bytes()
    found = set()
    for text in (data, data.replace(b"\r\n", b"\n")):
        for kind in ("sha1", "sha256"):
            found.add(hashlib.new(kind, b"blob %d\0" % len(text) + text, usedforsecurity=False).hexdigest())
    return found
