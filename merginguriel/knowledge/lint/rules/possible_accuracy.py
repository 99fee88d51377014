"""Rule: an accuracy on n items is a number of items over n."""

from __future__ import annotations

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse.rows import impossible


def check(knowledge: Knowledge) -> list[Problem]:
    """Report current rows with an impossible accuracy; `mu log add` refuses new ones."""
    return [
        Problem(row.where, f"{row.ref}: {what}.", "Correct it in a new entry, or contest the row there.")
        for row in knowledge.rows
        for _, what, _ in impossible(row)
    ]
