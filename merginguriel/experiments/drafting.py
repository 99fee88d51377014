"""How does an entry about finished runs begin? With their rows, what is to be said of them, and the plans that it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from ..knowledge import writing
from ..knowledge.accept import logged
from ..knowledge.rows import ResultRow
from ..workspace import Workspace
from . import scaffold
from .logged import gather, refuse_logged


@dataclass(frozen=True)
class Begun:
    """What the rows of runs fill in where the author says nothing."""

    title: str
    type: str
    summary: str
    sections: tuple[tuple[str, str], ...]
    answers: tuple[str, ...]


def begin(space: Workspace, rows: Sequence[ResultRow], kind: str | None = None) -> Begun:
    """kind: type of the entry, a Retrospective where none is given; that one answers the plans that waited for the rows."""
    sections = scaffold.sections(rows)
    answers: list[str] = []
    if (kind or "Retrospective") == "Retrospective":
        knowledge = logged(space)
        answers = scaffold.answers(knowledge, rows)
        if table := scaffold.against(knowledge, rows):
            sections.insert(1, (scaffold.AGAINST, table))
    return Begun(
        scaffold.title(rows), kind or "Retrospective", scaffold.summary(rows), tuple(sections), tuple(answers)
    )


def retrospective(space: Workspace, run: str) -> str:
    """The text of a retrospective of a finished run, its rows laid ready among the drafts, as `mu log add --run` begins it.

    Raises UsageError for a run without a result, and for one whose rows are in the log already.
    """
    rows, origin = gather(space, [run], [], [])
    refuse_logged(space, rows)
    begun = begin(space, rows)
    draft = writing.Draft(
        title=begun.title, type=begun.type, date=date.today().isoformat(), summary=begun.summary,
        answers=", ".join(begun.answers), origin=origin, sections=begun.sections,
    )  # fmt: skip
    return writing.staged(space.log, draft, rows)
