"""Count the advice that changes with the knowledge: the verdicts that an entry would change."""

from __future__ import annotations

from merginguriel.errors import MuError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.rows import ResultRow, is_merge

from . import advise_request


def changed_verdicts(before: Knowledge, after: Knowledge, rows: tuple[ResultRow, ...]) -> int:
    """Return how many verdicts differ, over the targets and modes with measured merges in the contexts of `rows`."""
    contexts = {row.context for row in rows}
    asked = {
        (row.context, row.target, row.mode)
        for row in before.rows
        if row.context in contexts and row.mode != "-" and row.target != "-" and is_merge(row.method)
    }
    return sum(_verdict(before, *one) != _verdict(after, *one) for one in sorted(asked))


def _verdict(knowledge: Knowledge, context: str, target: str, mode: str) -> str:
    try:
        question = advise_request.question(knowledge, target, mode=mode, context=context)
        return advise_request.advise(knowledge, question).verdict
    except MuError:
        return "unknown"
