"""First draft of an entry about finished runs: title, summary, sections and the plans that it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from merginguriel.knowledge.base import load_readable
from merginguriel.knowledge.log import append
from merginguriel.knowledge.log.draft_text import Draft
from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.workspace import Workspace

from . import composition_entry, pilot_entry, run_entry_text
from .dedupe import gather, refuse_logged


def begin(space: Workspace, rows: Sequence[ResultRow], kind: str | None = None) -> Draft:
    """Draft an entry of today from the rows of runs, without the rows themselves.

    A Retrospective, the default, answers the open plans that they cover.
    """
    sections = run_entry_text.sections(rows)
    sections += pilot_entry.sections(space, rows)
    sections += composition_entry.sections(space, rows)
    answers: list[str] = []
    if (kind or "Retrospective") == "Retrospective":
        knowledge = load_readable(space)
        answers = run_entry_text.answers(knowledge, rows)
        if table := run_entry_text.against(knowledge, rows):
            sections.insert(1, (run_entry_text.AGAINST, table))
    return Draft(
        run_entry_text.title(rows), kind or "Retrospective", date.today().isoformat(),
        composition_entry.summary(space, rows) or run_entry_text.summary(rows),
        answers=", ".join(answers), sections=tuple(sections),
    )  # fmt: skip


def retrospective(space: Workspace, run: str) -> str:
    """Return the draft of a retrospective of a finished run, as `mu log add --run` makes it.

    Raises:
        UsageError: The run has no result, or its rows are in the log already.
    """
    draft, rows = _of_run(space, run)
    return append.staged(space.log, draft, rows)


def add_run(space: Workspace, run: str) -> Entry:
    """Write the entry about a finished run into the log, as `mu log add --run` does.

    Raises:
        UsageError: As `retrospective`.
    """
    draft, rows = _of_run(space, run)
    if any(row.items for row in rows):
        return append.add(space.log, draft, more_rows=rows)
    return append.add(space.log, replace(draft, code=rows[0].code or "", rows=tuple(rows)))


def logged(space: Workspace, run: str) -> Entry | None:
    """Return the entry that has the rows of a run."""
    found = load_readable(space).entries
    return next((entry for entry in found if any(row.run == run for row in entry.rows)), None)


def _of_run(space: Workspace, run: str) -> tuple[Draft, list[ResultRow]]:
    rows, origin = gather(space, [run], [], [])
    refuse_logged(space, rows)
    return replace(begin(space, rows), origin=origin), rows
