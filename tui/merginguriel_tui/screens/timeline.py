"""Lines of the list of log entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

from rich.text import Text

from merginguriel.errors import UsageError
from merginguriel.text.tables import plain
from merginguriel_tui.widgets.paged import Column

if TYPE_CHECKING:
    from merginguriel.knowledge.parse.entries import Entry

SHORT = {"Observation": "Observ.", "Retrospective": "Retro", "Troubleshooting": "Trouble"}


def columns() -> list[Column]:
    """Return the columns of the list."""
    return [
        Column("date", 10, lambda row: Text(row["date"])),
        Column("type", 7, lambda row: Text(SHORT.get(str(row["type"]), str(row["type"]))), gives=1),
        Column("open", 9, lambda row: Text(row["open"], "bold"), gives=2),
        Column("title", 0, lambda row: Text(row["title"])),
        Column("rows", 4, lambda row: Text(row["rows"]), gives=3, right=True),
    ]


def lines(entries: Sequence[Entry], marks: Mapping[str, str]) -> list[dict[str, str]]:
    """Return a row of the list for each entry.

    Args:
        entries: The entries.
        marks: Entry → its open plan or questions.
    """
    return [
        {
            "id": one.id, "date": one.date, "type": one.type, "title": plain(one.title).replace("\n", " "),
            "open": short(marks.get(one.id, "")), "rows": str(len(one.rows) or ""),
        }
        for one in entries
    ]  # fmt: skip


def short(marks: str) -> str:
    """Shorten `plan, 2 questions` to `plan 2 ?`."""
    said = marks.replace(" questions", " ?").replace(" question", " ?").replace(",", "")
    return said.replace(" in part", "½")


def day(text: str) -> None:
    """Check a date.

    Raises:
        UsageError: It is not written YYYY-MM-DD.
    """
    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a date.", mend="YYYY-MM-DD") from error
