"""How is a file opened in $EDITOR? With the terminal lent to it until it ends."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

from merginguriel.errors import UsageError


def edit(app: App[Any], path: Path) -> None:
    """Wait until the editor has ended. Raises UsageError if none is set, or it cannot be started or had the terminal."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor or not editor.strip():
        raise UsageError("no editor is set.", mend="Set $EDITOR before mu-tui is started.")
    try:
        words = [*shlex.split(editor), str(path)]
    except ValueError as error:
        raise UsageError(
            f"the editor {editor!r} cannot be read: {str(error).lower()}.",
            mend="Set $EDITOR before mu-tui is started, with every quote closed.",
        ) from error
    try:
        with app.suspend():
            code = subprocess.run(words, check=False).returncode
    except SuspendNotSupported as error:
        raise UsageError(
            "this terminal cannot be lent to an editor.", mend=f"In another one: {shlex.join(words)}"
        ) from error
    except OSError as error:
        raise UsageError(f"the editor {words[0]!r} cannot be started.") from error
    if code:
        raise UsageError(f"the editor ended with exit code {code}.", where=str(path))
