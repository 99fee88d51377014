"""Effect of an entry on the advice: before and after it, and rows that repeat an earlier measurement."""

from __future__ import annotations

from dataclasses import dataclass

from merginguriel.decision.advice_diff import changes
from merginguriel.decision.advice_types import Advice
from merginguriel.decision.evidence import is_arm
from merginguriel.errors import UsageError
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.rows import distinct

from . import advise_request, ledger

MOST = 4  # questions that are asked again


@dataclass(frozen=True)
class EntryEffect:
    """Advice on a target before and after an entry.

    Attributes:
        changes: What changed, in sentences, and which rows moved it.
    """

    target: str
    mode: str
    context: str
    changes: tuple[str, ...]


def effects(knowledge: Knowledge, entry: str) -> tuple[list[EntryEffect], int]:
    """Return the effects of an entry on the advice about its merges, MOST of them, and the number of all questions."""
    found = knowledge.by_entry[entry]
    arms = [row for row in found.rows if is_arm(row)]
    asked = list(
        dict.fromkeys(
            (row.target, advise_request.mode_of(row.context, row.mode), row.context) for row in arms
        )
    )
    if not asked:
        return [], 0
    earlier = ledger.before(knowledge, entry)
    result = []
    for target, mode, context in asked[:MOST]:
        old, new = (_advice(known, target, mode, context) for known in (earlier, knowledge))
        assert new is not None
        result.append(EntryEffect(target, mode, context, tuple(changes(old, new))))
    return result, len(asked)


def _advice(knowledge: Knowledge, target: str, mode: str, context: str) -> Advice | None:
    """Return the advice; None in a context that the knowledge, and the workspace, do not know."""
    try:
        about = advise_request.question(knowledge, target, mode=mode, context=context)
    except UsageError:
        return None
    return advise_request.advise(knowledge, about)


def repeats(knowledge: Knowledge, entry: str) -> list[tuple[str, str]]:
    """Return (row, earlier row) of each row of an entry that is not counted, because the earlier one measured the same."""
    own = {row.ref: (row.measurement(), row.baseline_kind) for row in knowledge.by_entry[entry].rows}
    measured = set(own.values())
    same = [row for row in knowledge.rows if (row.measurement(), row.baseline_kind) in measured]
    counted = {(row.measurement(), row.baseline_kind): row.ref for row in distinct(same)}
    return [(ref, counted[key]) for ref, key in own.items() if counted[key] != ref]
