"""Rule: an accuracy on n items is a number of items over n.

A row with the note `repeat` is checked where it was recorded first.
"""

from __future__ import annotations

from math import floor

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse.rows import ResultRow


def check(knowledge: Knowledge) -> list[Problem]:
    """Report current rows whose accuracy is no number of items over n, neither rounded nor cut."""
    return [
        Problem(
            row.where,
            f"{row.ref} has the accuracy {row.value:.4f}, which is no number of items over {row.n}.",
            "Correct the value or n in a new entry, or contest the row there.",
        )
        for row in knowledge.rows
        if row.status == "current"
        and row.note != "repeat"
        and row.metric == "accuracy"
        and row.n
        and not is_possible(row)
    ]


def is_possible(row: ResultRow) -> bool:
    """Return whether k/n, rounded or cut to the decimals of the value, is the value for some whole k."""
    places = len(f"{row.value:.6f}".rstrip("0").partition(".")[2])
    n = row.n or 1
    unit = 10.0**-places
    near = range(floor(row.value * n) - 1, floor(row.value * n) + 3)
    return any(-unit / 2 - 1e-9 <= k / n - row.value < unit + 1e-9 for k in near)
