"""Restriction of agents to the workspace: links and paths out of it are rejected."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from merginguriel.config.run_config import KEYS, flat_values
from merginguriel.config.schema import Config
from merginguriel.errors import UsageError
from merginguriel.workspace import Workspace


def inside(space: Workspace, path: Path, name: str) -> Path:
    """Return `path` with all links resolved.

    Raises:
        UsageError: The resolved path is outside the workspace.
    """
    real = path.resolve()
    if not real.is_relative_to(space.root.resolve()):
        raise UsageError(
            f"{name} points out of the workspace.",
            where=space.display(path),
            hint="An agent reads and writes inside the workspace only.",
        )
    return real


def check_links(space: Workspace) -> None:
    """Raise UsageError if skills, log or runs contain a link out of the workspace."""
    for folder in (space.skills, space.log, space.runs):
        for path in _links(folder):
            inside(space, path, "a link")


def _links(folder: Path) -> Iterator[Path]:
    if folder.is_symlink():
        yield folder
    try:
        with os.scandir(folder) as scan:
            entries = list(scan)
    except OSError:
        return
    for entry in entries:
        if entry.is_symlink():
            yield Path(entry.path)
        elif entry.is_dir():
            yield from _links(Path(entry.path))


def check_config(space: Workspace, config: Config) -> None:
    """Raise UsageError if a run's configuration names a file or folder outside the workspace, or runs code of a model's folder."""
    if config.trust_remote_code:
        raise UsageError(
            "an agent cannot set trust_remote_code.",
            hint="A person can start this run: mu run CONFIG.yaml --trust-remote-code",
        )
    for name, value in flat_values(config).items():
        kind = KEYS[name].kind
        for item in value.values() if isinstance(value, dict) else [value]:
            if (
                not isinstance(item, str)
                or kind not in ("folder", "text", "base", "table")
                or item == "sources"
            ):
                continue
            if item.startswith("~"):
                raise UsageError(f"{name} points out of the workspace.", hint="Name a path inside it.")
            # A word, or the name of a model on the hub, resolves to a path inside that does not exist.
            inside(space, space.root / item, name)
