"""Text of a log entry from a file, standard input or an editor."""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from merginguriel.errors import MuError, UsageError

from .common import plain, say


def read(file: Path) -> str:
    """Return the text of a file; raise UsageError if it does not exist."""
    from merginguriel.knowledge.parse.yaml_lines import read_text

    if not file.is_file():
        raise UsageError(f"no such file: {file}.")
    return read_text(file)


def standard_input(log: Path) -> str:
    """Return the text on standard input; bytes that are not text are saved as a draft."""
    from merginguriel.knowledge.log.append import keep_bytes

    text = sys.stdin.read()
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        wrong = MuError("standard input is not UTF-8 text.")
        keep_bytes(log, text.encode(sys.stdin.encoding or "utf-8", "surrogateescape"), wrong)
        raise wrong from error
    return text


def edited(log: Path, text: str, draft: Path | None, *, yes: bool, asked: bool) -> str:
    """Return `text` as edited in $EDITOR once the user confirms the difference; otherwise keep it as a draft.

    asked: the text is an empty form, which is not added unchanged
    """
    from merginguriel.knowledge.log.append import keep_draft

    new, code = _in_editor(log, text)
    if new == text and asked and code == 0:
        raise MuError("the entry was not changed; nothing was added.")
    if code != 0 and new == text:
        raise MuError(f"the editor ended with exit code {code}; nothing was added.")
    why = f"the editor ended with exit code {code}" if code else ""
    if not why and new != text and not yes:
        lines = difflib.unified_diff(
            text.splitlines(), new.splitlines(), "as given", "as edited", lineterm="", n=1
        )
        say(plain("\n".join(lines)))
        why = _declined()
    if why:
        saved = keep_draft(log, new, draft)
        raise MuError(
            f"{why}; nothing was added.",
            where=str(saved),
            hint=f"The text was saved there. Continue with: mu log add --draft {saved.stem}",
        )
    return new


def _declined() -> str:
    """Return why the edited text is not added; "" if it is."""
    if not sys.stdin.isatty():
        return "it cannot be confirmed without a terminal (use --yes)"
    try:
        return "" if click.confirm("Add this entry?", default=True, err=True) else "it was not confirmed"
    except click.Abort:
        return "it was not confirmed"


def _in_editor(log: Path, text: str) -> tuple[str, int]:
    """Return the text after $EDITOR and the editor's exit code; bytes that are not text are saved as a draft."""
    from merginguriel.knowledge.log.append import keep_bytes

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise UsageError("no editor is set.", hint="Set $EDITOR, or give a file: mu log add FILE")
    with tempfile.NamedTemporaryFile(
        "w", suffix=".md", prefix="mu-entry-", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    path = Path(file.name)
    try:
        code = subprocess.run([*shlex.split(editor), str(path)], check=False).returncode
        try:
            return read(path), code
        except MuError as error:
            if path.is_file():
                keep_bytes(log, path.read_bytes(), error)
            raise
    except FileNotFoundError as error:
        raise UsageError(f"the editor {editor!r} cannot be started.") from error
    finally:
        path.unlink(missing_ok=True)


def check_editor() -> None:
    """Raise UsageError if $VISUAL or $EDITOR names a program that cannot be found."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        words = shlex.split(editor)
    except ValueError:
        words = [editor]
    if words and shutil.which(words[0]) is None:
        raise UsageError(
            f"the editor {editor!r} cannot be started.", hint="Set $EDITOR to an installed program."
        )
