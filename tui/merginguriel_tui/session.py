"""State remembered between sessions, and the [tui] settings of mu.toml."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from merginguriel.errors import MuError
from merginguriel.files import write_text
from merginguriel.workspace import MARKER, Workspace


class TuiSettings(NamedTuple):
    """The [tui] settings: theme, keys by binding id, and errors in them."""

    theme: str | None
    keymap: dict[str, str]
    wrong: list[MuError]


def look(space: Workspace) -> TuiSettings:
    """Read [tui] of mu.toml. Invalid settings become errors, not exceptions."""
    settings = space.settings.get("tui")
    table: dict[str, Any] = settings if isinstance(settings, dict) else {}
    where = str(space.root / MARKER)
    errors = [
        MuError(f"unknown setting tui.{name}.", where=where, hint="Settings of [tui]: theme, keys.")
        for name in table
        if name not in ("theme", "keys")
    ]
    theme, keys = table.get("theme"), table.get("keys", {})
    if theme is not None and not isinstance(theme, str):
        errors.append(MuError(f"tui.theme must be a name, got {theme!r}.", where=where))
        theme = None
    if not isinstance(keys, dict):
        errors.append(MuError(f"tui.keys must be a table, got {keys!r}.", where=where, hint='quit = "f10"'))
        keys = {}
    for name, key in keys.items():
        if not isinstance(key, str) or not key:
            errors.append(MuError(f"tui.keys.{name} must name a key, got {key!r}.", where=where))
    return TuiSettings(
        theme, {name: key for name, key in keys.items() if isinstance(key, str) and key}, errors
    )


def path(space: Workspace) -> Path:
    """Return the file of the session in the user's state folder: one per workspace, which may be shared."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    root = space.root.resolve()
    number = zlib.crc32(os.fsencode(root))  # hashlib loads OpenSSL: a fiftieth of the time to the first paint
    return state / "merginguriel" / f"{root.name}-{number:08x}.json"


def read(space: Workspace) -> dict[str, Any]:
    """Return what `write` saved; empty if the file is missing or unreadable."""
    try:
        text = path(space).read_text(encoding="utf-8")
        import json  # only where there is a session

        result = json.loads(text)
    except (OSError, ValueError):
        return {}
    return result if isinstance(result, dict) else {}


def write(space: Workspace, state: dict[str, Any]) -> None:
    """Save the session. If the folder is not writable, the session is lost and nothing else."""
    import json

    try:
        write_text(path(space), json.dumps(state, ensure_ascii=False))
    except (MuError, OSError):
        return
