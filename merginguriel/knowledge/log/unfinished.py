"""Which entries wait for something? Plans without an answer, and entries with questions that nobody closed."""

from __future__ import annotations

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.questions import threads

from .plan_scores import plans


def unfinished(knowledge: Knowledge, today: str) -> dict[str, list[str]]:
    """Entry → what is open of it: `plan` or `plan in part`, and `2 questions`. today: YYYY-MM-DD."""
    found: dict[str, list[str]] = {}
    for plan in plans(knowledge, today):
        if plan.state in ("open", "partly answered"):
            found.setdefault(plan.plan.id, []).append("plan" if plan.state == "open" else "plan in part")
    asked: dict[str, int] = {}
    for one in threads(knowledge.entries):
        if one.state != "closed":
            asked[one.opened_by] = asked.get(one.opened_by, 0) + 1
    for name, count in asked.items():
        found.setdefault(name, []).append(f"{count} question{'s' * (count != 1)}")
    return found
