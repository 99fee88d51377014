"""How do flags, templates and an editor make the text of a log entry?"""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel.errors import MuError, UsageError

from .common import plain, say

if TYPE_CHECKING:
    from merginguriel.workspace import Workspace


def read(file: Path) -> str:
    from merginguriel.knowledge.parse.yaml_lines import read_text

    if not file.is_file():
        raise UsageError(f"there is no file {file}.")
    return read_text(file)


def standard_input(log: Path) -> str:
    """The text on standard input. What is no text is kept as a draft, byte by byte."""
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
    """What the user makes of `text` in $EDITOR, once the difference is confirmed; else it is kept as a draft.

    asked  the text is an empty form: left as it was, nothing is added
    """
    from merginguriel.knowledge.log.append import keep_draft

    new, code = _in_editor(log, text)
    if new == text and asked and code == 0:
        raise MuError("the entry was left as it was; nothing was added.")
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
        kept = keep_draft(log, new, draft)
        raise MuError(
            f"{why}; nothing was added.",
            where=str(kept),
            mend=f"The text is kept there. Go on with: mu log add --draft {kept.stem}",
        )
    return new


def _declined() -> str:
    """Why what was edited is not to be added; '' if it is."""
    if not sys.stdin.isatty():
        return "there is nobody to confirm it (--yes does so beforehand)"
    try:
        return "" if click.confirm("Add this entry?", default=True, err=True) else "it was not confirmed"
    except click.Abort:
        return "it was not confirmed"


def _in_editor(log: Path, text: str) -> tuple[str, int]:
    """The text as $EDITOR left it, and the editor's exit code. What is no text any more is kept as a draft."""
    from merginguriel.knowledge.log.append import keep_bytes

    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise UsageError("no editor is set.", mend="Set $EDITOR, or give a file: mu log add FILE")
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
    """Raises UsageError if $VISUAL or $EDITOR names a program that is not there."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        words = shlex.split(editor)
    except ValueError:
        words = [editor]
    if words and shutil.which(words[0]) is None:
        raise UsageError(
            f"the editor {editor!r} cannot be started.", mend="Set $EDITOR to a program that is there."
        )


def section(text: str) -> tuple[str, str]:
    heading, sign, body = text.partition(":")
    if not sign or not heading.strip():
        raise UsageError(f"--section says {text!r}.", mend="Write: 'Findings: what was found'")
    return heading.strip(), body.strip()


def cells(text: str, flag: str) -> dict[str, str]:
    """`column=value` pairs; a value with spaces stands in quotes."""
    try:
        pairs = [part.partition("=") for part in shlex.split(text)]
    except ValueError as error:
        raise UsageError(f"{flag} says {text!r}: {error}.") from error
    if any(not sign for _, sign, _ in pairs):
        raise UsageError(f"{flag} says {text!r}.", mend="Write cells as column=value, spaces inside quotes.")
    return {key: value for key, _, value in pairs}


def check_cells(found: list[dict[str, str]], known: tuple[str, ...], flag: str) -> None:
    """Raises UsageError for a cell whose name no column has."""
    for name in dict.fromkeys(name for row in found for name in row):
        if name.lower() not in known:
            near = difflib.get_close_matches(name.lower(), known, n=1)
            guess = f"Did you mean {near[0]}?\n" if near else ""
            raise UsageError(
                f"{flag} has the unknown cell {name!r}.", mend=f"{guess}Known: {', '.join(known)}."
            )


def table(rows: tuple[str, ...]) -> str:
    """The Results table of `--row` flags: a column for every key that any row names."""
    from merginguriel.knowledge.parse.markdown import format_table
    from merginguriel.knowledge.parse.row_parser import DIFFERENCES
    from merginguriel.knowledge.parse.rows import COLUMNS

    found = [cells(text, "--row") for text in rows]
    check_cells(
        [{k: v for k, v in row.items() if k.lower() not in DIFFERENCES} for row in found], COLUMNS, "--row"
    )
    names = list(dict.fromkeys(key for row in found for key in row))
    return format_table(names, [[row.get(name, "-") for name in names] for row in found])


def expected(rows: tuple[str, ...]) -> str:
    """The Expected table of `--expect` flags."""
    from merginguriel.knowledge.log.entry_json import in_pp
    from merginguriel.knowledge.parse.expectations import COLUMNS
    from merginguriel.knowledge.parse.expectations import table as expected_table

    found = [cells(text, "--expect") for text in rows]
    check_cells(found, (*COLUMNS, "low_pp", "high_pp"), "--expect")
    return expected_table([in_pp(row) for row in found])


def as_given(where: Workspace, given: dict[str, Any]) -> str:
    """The text of a draft from flags that do not make an entry: nothing is looked up, and nothing left out.

    Flags that cannot be read stand under `Results:` and `Expected:`, headings that no entry may have: such a draft does
    not land before somebody has mended it.
    """
    from merginguriel.knowledge.log import append

    sections, rows = [], ""
    for text in given["sections"]:
        heading, sign, body = text.partition(":")
        sections.append((heading.strip(), body.strip()) if sign and heading.strip() else ("Findings", text))
    if given["expected"]:
        try:
            sections.insert(0, ("Expected", expected(given["expected"])))
        except MuError:
            sections.insert(0, ("Expected:", _flags("--expect", given["expected"])))
    unread = [
        _flags(flag, given[name])
        for flag, name in (
            ("--from-run", "runs"),
            ("--sweep", "sweeps"),
            ("--matrix", "matrices"),
            ("--only", "only"),
        )
        if given[name]
    ]
    if given["figure"]:
        unread.append(_flags("--figure", (given["figure"],)))
    try:
        rows = table(given["rows"]) if given["rows"] else ""
    except MuError:
        unread.append(_flags("--row", given["rows"]))
    if unread:
        sections.append(("Results:", "\n".join(unread)))
    lines = [f"- [open] {one}" for one in given["questions"]]
    for verb in ("narrows", "closes"):
        for text in given[verb]:
            ref, _, why = text.partition(":")
            lines.append(f"- [{verb} {ref.strip()}] {' '.join(why.split())}")
    if lines:
        sections.append(("Open questions", "\n".join(lines)))
    draft = append.Draft(
        title=given["title"] or "",
        type=given["kind"] or "",
        date=given["day"] or date.today().isoformat(),
        summary=given["summary"] or "",
        context=given["context"]
        or (str(where.settings["context"]) if given["rows"] or given["expected"] else ""),
        metric="accuracy" if given["rows"] else "",
        n=str(given["n"] or ""),
        supersedes=", ".join(given["supersedes"]),
        links=", ".join(given["links"]),
        answers=", ".join(given["answers"]),
        tags=given["tags"] or "",
        sections=tuple(sections),
    )
    return append.render(draft, raw_table=rows)


def _flags(flag: str, values: Sequence[object]) -> str:
    return "\n".join(f"    {flag} {shlex.quote(str(value))}" for value in values)


def settled(where: Workspace, given: tuple[str, ...], verb: str) -> list[tuple[str, str]]:
    """(`<entry id>#q<n>`, why) of `--narrows` and `--closes` flags. The entry may be named by a beginning of its id."""
    from merginguriel.knowledge.base import load_readable

    found = []
    for text in given:
        ref, sign, why = text.partition(":")
        prefix, mark, number = ref.strip().partition("#")
        if not (sign and mark and why.strip()):
            raise UsageError(f"--{verb} says {text!r}.", mend="Write: 'ENTRY-ID#q1: what was found'")
        found.append((f"{load_readable(where).entry(prefix).id}#{number}", " ".join(why.split())))
    return found


def whole_ids(where: Workspace, given: tuple[str, ...]) -> list[str]:
    """The whole ids of the entries that the beginnings in `given` name; several may stand in one, with commas."""
    from merginguriel.knowledge.base import load_readable

    prefixes = [prefix.strip() for text in given for prefix in text.split(",") if prefix.strip()]
    if not prefixes:
        return []
    knowledge = load_readable(where)
    return list(dict.fromkeys(knowledge.entry(prefix).id for prefix in prefixes))
