"""Rejected entries, Markdown or JSON, in experiment_log/.draft/; named by eight hex digits."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from merginguriel.errors import MuError, UsageError
from merginguriel.knowledge.base import Knowledge, load_readable
from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.yaml_lines import read_text
from merginguriel.workspace import Workspace

from . import acceptance
from .append import row_files
from .known_names import Program


@dataclass(frozen=True)
class SavedDraft:
    """A draft: its id, when it was saved (local time, to the minute), its title, and why it is refused.

    Attributes:
        problem, hint: What is wrong and how to correct it; '' for a draft that was never checked and is valid.
    """

    id: str
    path: Path
    saved: str
    title: str
    problem: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the draft as JSON-ready data."""
        return {**vars(self), "path": str(self.path)}


def folder(log: Path) -> Path:
    """Return the folder of drafts."""
    return log / ".draft"


def _paths(log: Path) -> list[Path]:
    return [*folder(log).glob("[!.]*.md"), *folder(log).glob("[!.]*.json")]


def listed(space: Workspace, program: Program | None = None) -> list[SavedDraft]:
    """Return every draft, newest first; `program` as in `acceptance.accept`."""
    log = space.log
    paths = sorted(_paths(log), key=lambda p: (p.stat().st_mtime_ns, p.name), reverse=True)
    if not paths:
        return []
    knowledge = load_readable(space)
    return [_describe(knowledge, path, program) for path in paths]


def _describe(knowledge: Knowledge, path: Path, program: Program | None) -> SavedDraft:
    title = problem = hint = ""
    try:
        text = read_text(path)
        title = _title(text)
        acceptance.preview(knowledge.space, text, file=path, knowledge=knowledge, program=program or {})
    except MuError as error:
        problem, hint = error.what, error.hint or ""
    saved = datetime.fromtimestamp(path.stat().st_mtime).isoformat(" ", timespec="minutes")
    return SavedDraft(path.stem, path, saved, title, problem, hint)


def _title(text: str) -> str:
    """Return the title in an entry's text, Markdown or JSON, however little of the rest is valid."""
    match = re.search(r"^title:\s*[\"']?(.*?)[\"']?\s*$", text, re.MULTILINE)
    if not text.lstrip().startswith("{"):
        return match[1] if match else ""
    try:
        return str(json.loads(text).get("title", ""))
    except ValueError:
        return ""


def remove_landed(log: Path, entry: Entry) -> None:
    """Remove the refused drafts of an entry that has landed: those with its title, type and date."""
    for path in _paths(log):
        try:
            text = read_text(path)
        except MuError:
            continue
        # JSON may leave the date out.
        given = {key: _field(text, key) for key in ("type", "date")}
        if _title(text) == entry.title and given["type"] == entry.type and given["date"] in ("", entry.date):
            discard(log, path)


def _field(text: str, key: str) -> str:
    match = re.search(rf"^\s*[\"']?{key}[\"']?:\s*[\"']?([\w-]+)", text, re.MULTILINE)
    return match[1] if match else ""


def find(log: Path, prefix: str) -> Path:
    """Return the draft whose id begins with `prefix`; raise UsageError if none or several do."""
    result = sorted(path for path in _paths(log) if path.stem.startswith(prefix))
    if len(result) == 1:
        return result[0]
    raise UsageError(
        f"{len(result)} drafts match {prefix!r}." if result else f"no draft matches {prefix!r}.",
        hint="\n".join(path.stem for path in result[:8]) if result else "List all: mu log drafts",
    )


def discard(log: Path, path: Path) -> None:
    """Remove a draft, and the row files and figures that no other draft names."""
    others = {file for other in _paths(log) if other != path for file in _files(log, other)}
    for file in (*_files(log, path), path):
        if file not in others:
            file.unlink(missing_ok=True)


def _files(log: Path, path: Path) -> list[Path]:
    try:
        return row_files(read_text(path), folder(log))
    except MuError:
        return []
