"""Run of the user's editor on a file, while the screens are suspended."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

from merginguriel.errors import UsageError

TAKES_LINE = (
    "vi",
    "vim",
    "nvim",
    "view",
    "nano",
    "pico",
    "emacs",
    "emacsclient",
    "micro",
    "kak",
    "joe",
    "mg",
    "ne",
)


def command() -> str:
    """Return $VISUAL or $EDITOR; empty if neither is set."""
    return (os.environ.get("VISUAL") or os.environ.get("EDITOR") or "").strip()


def edit(app: App[Any], path: Path, line: int = 1) -> None:
    """Open a file in the editor, at a line if the editor is one that takes it, and wait until it ends.

    Raises:
        UsageError: No editor is set, it cannot be started, it failed, or the terminal cannot be suspended.
    """
    import subprocess

    editor = command()
    if not editor:
        raise UsageError("no editor is set.", hint="Set $EDITOR before starting mu-tui.")
    try:
        words = shlex.split(editor)
    except ValueError as error:
        raise UsageError(
            f"$EDITOR cannot be parsed: {editor!r}: {str(error).lower()}.",
            hint="Close every quote, then start mu-tui again.",
        ) from error
    at_line = [f"+{line}"] if line > 1 and Path(words[0]).name in TAKES_LINE else []
    words += [*at_line, str(path)]
    failure = None
    try:
        with app.suspend():  # an exception inside would leave the terminal suspended
            try:
                code = subprocess.run(words, check=False).returncode
            except OSError as error:
                failure = error
    except SuspendNotSupported as error:
        raise UsageError(
            "mu-tui cannot open an editor in this terminal.", hint=f"In another one: {shlex.join(words)}"
        ) from error
    if failure:
        raise UsageError(f"the editor {words[0]!r} cannot be started.") from failure
    if code:
        raise UsageError(f"the editor ended with exit code {code}.", where=str(path))
