"""Data of the log screen: lines of the list, and texts that a new entry can begin from."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from merginguriel.errors import UsageError
from merginguriel.text.tables import plain
from merginguriel_tui.widgets.paged import TableColumn

if TYPE_CHECKING:
    from merginguriel.knowledge.parse.entries import Entry
    from merginguriel.workspace import Workspace

TYPES = ("Plan", "Observation", "Retrospective", "Troubleshooting")
SHORT = {"Observation": "Observ.", "Retrospective": "Retro", "Troubleshooting": "Trouble"}
RUNS = 200  # finished runs offered for a new entry, newest first


def columns() -> list[TableColumn]:
    """Return the columns of the list."""
    return [
        TableColumn("date", 10, lambda row: Text(row["date"])),
        TableColumn("type", 7, lambda row: Text(SHORT.get(str(row["type"]), str(row["type"]))), gives=1),
        TableColumn("open", 9, lambda row: Text(row["open"], "bold"), gives=2),
        TableColumn("title", 0, lambda row: Text(row["title"])),
        TableColumn("rows", 4, lambda row: Text(row["rows"]), gives=3, right=True),
    ]


def lines(entries: Sequence[Entry], marks: Mapping[str, str]) -> list[dict[str, str]]:
    """Return a row of the list for each entry.

    Args:
        entries: The entries.
        marks: Entry → its open plan or questions.
    """
    return [
        {
            "id": entry.id, "date": entry.date, "type": entry.type, "title": plain(entry.title).replace("\n", " "),
            "open": short(marks.get(entry.id, "")), "rows": str(len(entry.rows) or ""),
        }
        for entry in entries
    ]  # fmt: skip


def short(marks: str) -> str:
    """Shorten `plan, 2 questions` to `plan 2 ?`."""
    text = marks.replace(" questions", " ?").replace(" question", " ?").replace(",", "")
    return text.replace(" in part", "½")


def check_day(text: str) -> None:
    """Check a date.

    Raises:
        UsageError: It is not written YYYY-MM-DD.
    """
    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a date.", hint="YYYY-MM-DD") from error


def beginnings(space: Workspace) -> dict[str, tuple[str, str]]:
    """Return label → (kind, id) of the drafts, finished runs and empty forms that an entry can begin from."""
    from merginguriel.knowledge.log import drafts
    from merginguriel.merging.registry import parameters
    from merginguriel.runs import run_index
    from merginguriel.workspace import writable

    writable(space)
    offers = {}
    for item in drafts.listed(space, parameters()):
        label = f"{item.title or 'no title'}: {item.problem or 'valid'}"
        offers[plain(f"draft  {item.id}  {item.saved}  {label}")] = ("draft", item.id)
    for row in run_index.listed(space, RUNS, state="finished")[0]:
        offers[plain(f"run  {row['id']}  {row['target'] or ''} {row['method'] or ''}")] = ("run", row["id"])
    forms = sorted(TYPES, key=lambda kind: kind != "Retrospective")
    return offers | {f"empty  {kind}": ("empty", kind) for kind in forms}


def begin(space: Workspace, kind: str, source: str) -> tuple[str, Path]:
    """Return the initial text of an entry and the file of its draft.

    Args:
        space: The workspace.
        kind: `draft`, `run` or `empty`.
        source: Id of the draft or run, or the type of the entry.
    """
    from merginguriel.knowledge.log import append, drafts
    from merginguriel.knowledge.log.entry_text import template
    from merginguriel.knowledge.parse.yaml_lines import read_text
    from merginguriel.loop import entry_draft

    if kind == "draft":
        path = drafts.find(space.log, source)
        return read_text(path), path
    fresh = drafts.folder(space.log) / f"{secrets.token_hex(4)}.md"
    if kind == "run":
        # Save it at once: its row files are among the drafts already.
        text = entry_draft.retrospective(space, source)
        return text, append.keep_draft(space.log, text, fresh)
    return template(source, str(space.settings["context"])), fresh
