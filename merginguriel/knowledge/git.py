"""Read earlier states of a workspace's files from git, without changing anything."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from merginguriel.errors import MuError, UnavailableError, UsageError

# Reading must not take the lock of a concurrent commit.
QUIET = {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}


def inside(folder: Path) -> bool:
    """Return whether `folder` is in a git repository and git is installed; no process is started."""
    folder = folder.resolve()
    return any((up / ".git").exists() for up in (folder, *folder.parents)) and shutil.which("git") is not None


def need(folder: Path) -> None:
    """Raise an error that says what is missing where `inside` is false."""
    if shutil.which("git") is None:
        raise UnavailableError("this needs git, which is not installed.")
    if not inside(folder):
        raise MuError(
            "this folder is not in a git repository, which this command needs.",
            where=str(folder),
            hint="Make it one: git init && git add . && git commit",
        )


def ask(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    """Return what `git ARGUMENTS` prints in `folder`; raise MuError with git's own message."""
    process = subprocess.run(
        ["git", "-c", "core.quotePath=off", *arguments],
        cwd=folder, input=given, capture_output=True, env={**os.environ, **QUIET}, check=False,
    )  # fmt: skip
    if process.returncode:
        words = process.stderr.decode("utf-8", "replace").strip()
        raise MuError(f"git {arguments[0]} failed: {words or process.returncode}", where=str(folder))
    return process.stdout


def commit(folder: Path, revision: str) -> str:
    """Return the id of the commit that `revision` names; raise UsageError if it names none."""
    try:
        if revision.startswith("-"):
            raise MuError("")
        return ask(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
    except MuError as error:
        raise UsageError(
            f"{revision!r} is not a commit of this repository.",
            hint="A branch, a tag, a commit's id, or HEAD~3; see: git log",
        ) from error


def fork(folder: Path, revision: str) -> str:
    """Return the commit at which HEAD branched off `revision`; that commit itself if they share none."""
    base = commit(folder, revision)
    try:
        return ask(folder, "merge-base", base, "HEAD").decode().strip()
    except MuError:
        return base


def listed(folder: Path, revision: str, *parts: str) -> list[str]:
    """Return the files that `revision` has below these parts of `folder`, relative to it and without links."""
    result = ask(folder, "ls-tree", "-r", "-z", revision, "--", *parts).decode("utf-8", "surrogateescape")
    records = (record.partition("\t") for record in result.split("\0") if record)
    return [name for mode, _, name in records if mode.startswith("100") and "\n" not in name]


def changed(folder: Path, revision: str) -> list[str]:
    """Return the files in `folder` that differ from `revision` on disk, relative to it; untracked ones are left out."""
    options = ["--name-only", "--relative", "--no-renames", "--no-ext-diff", "-z"]
    result = ask(folder, "diff", *options, revision, "--", ".")
    return [name for name in result.decode("utf-8", "surrogateescape").split("\0") if name]


def texts(folder: Path, files: Sequence[tuple[str, str]]) -> list[str | None]:
    r"""Return the text of every (revision, file relative to `folder`), with `\n` line ends; None where it is missing."""
    request = "".join(f"{revision}:./{name}\n" for revision, name in files)
    answer = (
        ask(folder, "cat-file", "--batch", given=request.encode("utf-8", "surrogateescape")) if files else b""
    )
    result: list[str | None] = []
    at = 0
    for _ in files:
        end = answer.index(b"\n", at)
        head = answer[at:end].rsplit(b" ", 2)
        if len(head) < 3 or head[1] != b"blob":
            # Nothing there (or a folder, whose contents are not wanted).
            size = int(head[2]) + 1 if len(head) == 3 and head[2].isdigit() else 0
            result.append(None)
            at = end + 1 + size
            continue
        size = int(head[2])
        result.append(answer[end + 1 : end + 1 + size].decode("utf-8", "replace").replace("\r\n", "\n"))
        at = end + 1 + size + 1
    return result
