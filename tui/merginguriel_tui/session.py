"""What is remembered between sessions, and what does mu.toml say of keys and colours?"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from merginguriel.errors import MuError
from merginguriel.files import write_text
from merginguriel.workspace import MARKER, Workspace


class Look(NamedTuple):
    """`[tui]` of mu.toml: a theme's name, keys for the ids that the help shows, and what of it cannot be read."""

    theme: str | None
    keymap: dict[str, str]
    wrong: list[MuError]


def look(space: Workspace) -> Look:
    given = space.settings.get("tui")
    table: dict[str, Any] = given if isinstance(given, dict) else {}
    where = str(space.root / MARKER)
    wrong = [
        MuError(f"unknown setting tui.{name}.", where=where, mend="Settings of [tui] are: theme, keys.")
        for name in table
        if name not in ("theme", "keys")
    ]
    theme, keys = table.get("theme"), table.get("keys", {})
    if theme is not None and not isinstance(theme, str):
        wrong.append(MuError(f"tui.theme must be a name, not {theme!r}.", where=where))
        theme = None
    if not isinstance(keys, dict):
        wrong.append(MuError(f"tui.keys must be a table, not {keys!r}.", where=where, mend='quit = "f10"'))
        keys = {}
    for name, key in keys.items():
        if not isinstance(key, str) or not key:
            wrong.append(MuError(f"tui.keys.{name} must name a key, not {key!r}.", where=where))
    return Look(theme, {name: key for name, key in keys.items() if isinstance(key, str) and key}, wrong)


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
    except (MuError, OSError):
        return
