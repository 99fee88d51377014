"""Rule: no entry, row, skill or claim has a date in the future."""

from __future__ import annotations

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.parse.row_parser import is_future

HINT = "Write the day on which it was written, and set the clock right."


def check(knowledge: Knowledge) -> list[Problem]:
    """Report dates in the future."""
    problems: list[Problem] = []
    for entry in knowledge.entries:
        if is_future(entry.date):
            problems.append(Problem(f"{entry.path}:1", f"its date {entry.date} is in the future.", HINT))
        problems += [
            Problem(row.where, f"measured says {row.measured}, which is in the future.", HINT)
            for row in entry.rows
            if row.measured and is_future(row.measured)
        ]
    for skill in knowledge.skills:
        days = {} if skill.foreign else skill.metadata
        problems += [
            Problem(f"{skill.path}:1", f"{key} says {days[key]}, which is in the future.", HINT)
            for key in ("created", "updated")
            if key in days and is_future(days[key])
        ]
        problems += [
            Problem(claim.where, f"{claim.id}: since says {claim.since}, which is in the future.", HINT)
            for claim in skill.claims
            if is_future(claim.since)
        ]
    return problems
