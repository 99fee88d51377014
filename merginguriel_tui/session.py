"""What is remembered between sessions, and what does mu.toml say of keys and colours?"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from merginguriel.files import write_text
from merginguriel.workspace import Workspace


class Look(NamedTuple):
    """`[tui]` of mu.toml: a theme's name, and keys for the ids that the help shows."""

    theme: str | None
    keymap: dict[str, str]


def look(space: Workspace) -> Look:
    given = space.settings.get("tui")
    table: dict[str, Any] = given if isinstance(given, dict) else {}
    keys = table.get("keys")
    theme = table.get("theme")
    return Look(
        str(theme) if theme else None,
        {str(name): str(key) for name, key in keys.items()} if isinstance(keys, dict) else {},
    )


def path(space: Workspace) -> Path:
    """In the user's state folder, one file per workspace: a shared workspace is not written into."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    name = hashlib.sha256(str(space.root.resolve()).encode()).hexdigest()[:24]
    return state / "merginguriel" / f"{name}.json"


def read(space: Workspace) -> dict[str, Any]:
    """What `write` kept; nothing where there is nothing, or nothing that can be read."""
    try:
        found = json.loads(path(space).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(space: Workspace, kept: dict[str, Any]) -> None:
    """Keep this. A place that cannot be written to loses a convenience, and nothing else."""
    try:
        write_text(path(space), json.dumps(kept, ensure_ascii=False))
    except OSError:
        return
