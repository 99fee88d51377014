"""What a proposed entry takes back: rows that stop counting, claims that change status, and verdicts that change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from merginguriel.errors import KnowledgeError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.claims import row_status
from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.rows import ResultRow

MOST_ROWS, MOST_CLAIMS = 20, 5  # above these, a mark needs confirmation

# Counts the verdicts that differ between two states of the knowledge, of targets in the contexts of some rows.
Verdicts = Callable[[Knowledge, Knowledge, tuple[ResultRow, ...]], int]


@dataclass(frozen=True)
class TakenBack:
    """Counts of what an entry takes back. `verdicts`: None where they were not counted."""

    rows: int
    claims: int
    verdicts: int | None = None

    def text(self) -> str:
        """Return `takes back 96 rows, 42 claims, changes 5 verdicts`."""
        counts = [
            f"{self.rows:,} row{'s' * (self.rows != 1)}",
            f"{self.claims} claim{'s' * (self.claims != 1)}",
        ]
        if self.verdicts is not None:
            counts.append(f"changes {self.verdicts} verdict{'s' * (self.verdicts != 1)}")
        return f"takes back {', '.join(counts)}"

    def as_dict(self) -> dict[str, int | None]:
        """Return the counts as JSON-ready data."""
        return {"rows": self.rows, "claims": self.claims, "verdicts": self.verdicts}


def taken_back(knowledge: Knowledge, entry: Entry, verdicts: Verdicts | None = None) -> TakenBack:
    """Return what would stop counting if the entry were in the log."""
    marks = any(mark.kind != "Lifts" for mark in entry.marks)
    if not marks and not entry.supersedes:
        return TakenBack(0, 0)
    after = replace(knowledge, entries=row_status.derive([*knowledge.entries, entry]))
    rows = tuple(
        row for row in knowledge.rows if row.status == "current" and after.by_row[row.ref].status != "current"
    )
    claims = [
        name
        for name, standing in knowledge.standings.items()
        if after.standings[name].status != standing.status
    ]
    changed = verdicts(knowledge, after, rows) if verdicts and rows else None
    return TakenBack(len(rows), len(claims), changed)


def check(knowledge: Knowledge, entry: Entry, found: TakenBack, *, anyway: bool) -> None:
    """Raise KnowledgeError for a mark that selects no row, and for one that takes back much without confirmation."""
    marks = [mark for mark in entry.marks if mark.kind != "Lifts"]
    rows = [row for row in knowledge.rows if row.ref.partition("#")[0] != entry.id]
    for mark in marks:
        reached = {selector.line: any(map(selector.selects, rows)) for selector in mark.selectors}
        for selector in mark.selectors:
            # Dates, commits and runs may also select rows that are logged later.
            if not reached[selector.line] and not (anyway and selector.traced):
                words = " ".join(f"{key}={','.join(values)}" for key, values in selector.conditions)
                raise KnowledgeError(
                    f"## {mark.kind} {words} selects no row of the log.",
                    where=f"{entry.path}:{selector.line}",
                    hint="See which rows it should select: mu log list --rows"
                    + (
                        "\nIf it is about rows that are not in the log yet: --anyway"
                        if selector.traced
                        else ""
                    ),
                )
    if marks and not anyway and (found.rows > MOST_ROWS or found.claims > MOST_CLAIMS):
        raise KnowledgeError(
            f"this entry {found.text()}.",
            where=f"{entry.path}:{marks[0].line}",
            hint="Narrow what it selects (target=…, method=…, rows=…). If all of them are meant: --anyway",
        )
