"""Rule: every plan states an expectation, and keeps its score once it was answered."""

from __future__ import annotations

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.log.plan_scores import lost_answers

SINCE = "2026-11-21"  # plans before this day need no expectation


def check(knowledge: Knowledge) -> list[Problem]:
    """Check the plans that are not superseded."""
    result = []
    for plan in knowledge.entries:
        if plan.type != "Plan" or plan.id in knowledge.superseders:
            continue
        if plan.date >= SINCE and not plan.expected:
            result.append(
                Problem(f"{plan.path}:{plan.body_line}", "this plan states no expectation that can be scored.",
                        "Give it a table under ## Expected, with low and high or p_positive: docs/formats.md.")
            )  # fmt: skip
        for answer, by in lost_answers(knowledge, plan):
            result.append(
                Problem(f"{by.path}:1", f"supersedes {answer.id}, which answers the plan {plan.id}, and does not answer "
                        "it: the plan's score is lost.",
                        f'Write answers: "{plan.id}" in its front matter; if it has landed, in an entry that '
                        "supersedes it.")
            )  # fmt: skip
    return result
