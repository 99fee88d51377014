"""What can be asked, and what do the what-if fields say, as numbers and as options of `mu advise`?"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.workspace import Workspace


def numbers_of(given: Mapping[str, str]) -> tuple[int | None, float | None, int | None] | None:
    """k, the least gain in pp and the budget, as they were typed; None where one is no number yet."""
    try:
        k = int(given["k"]) if given["k"] else None
        least = float(given["min_gain"]) if given["min_gain"] else None
        budget = int(given["budget"]) if given["budget"] else None
    except ValueError:
        return None
    return None if k is not None and k < 1 else (k, least, budget)


def kept(found: object) -> dict[str, str]:
    """What was asked in the last session, as far as it can be asked: anything may stand there, for it is read from a file."""
    asked = {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}
    return asked if numbers_of({"k": "", "min_gain": "", "budget": "", **asked}) is not None else {}


def command(target: str, changed: Mapping[str, str]) -> str:
    """changed: field → value, of those that are not as they were at first. The screen lists every row of evidence."""
    flags = [f"--{name.replace('_', '-')} {shlex.quote(value)}" for name, value in changed.items() if value]
    return " ".join(["mu advise", f"--target {target}", *flags, "--all"])


def read(space: Workspace) -> tuple[Knowledge, list[str], list[str], dict[tuple[str, str], int]]:
    """In a thread: what is known, the contexts and methods to ask about, and (context, target) → merges measured."""
    from merginguriel import threads

    threads.numpy_with_one()
    from merginguriel.knowledge.base import load
    from merginguriel.knowledge.parse.rows import is_merge
    from merginguriel.loop import advise_request

    knowledge = load(space)
    contexts, methods = advise_request.choices(knowledge)
    counts: dict[tuple[str, str], int] = {}
    for row in knowledge.rows:
        if row.mode != "-" and is_merge(row.method):
            counts[row.context, row.target] = counts.get((row.context, row.target), 0) + 1
    return knowledge, contexts, methods, counts
