"""Rule: settled questions and answered plans exist and are older than the entry that names them."""

from __future__ import annotations

from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.lint.rules import Problem
from merginguriel.knowledge.log.question_history import threads
from merginguriel.knowledge.parse.entries import Entry


def check(knowledge: Knowledge) -> list[Problem]:
    """Check the questions that entries answer, and the plans that they answer."""
    if not any(e.settles or e.answers or e.expected for e in knowledge.entries):
        return []
    opened = {thread.ref: thread for thread in threads(knowledge.entries)}
    problems: list[Problem] = []
    for entry in knowledge.entries:
        for answer in entry.settles:
            where, thread = f"{entry.path}:{answer.line}", opened.get(answer.question)
            if thread is None:
                problems.append(
                    Problem(
                        where,
                        f"{answer.question} is not a question of the log.",
                        "See: mu log questions --all",
                    )
                )
            elif thread.date > entry.date:
                problems.append(
                    Problem(where, f"{answer.question} was opened on {thread.date}, after this entry.")
                )
        problems += _plans(knowledge, entry)
    return problems


def _plans(knowledge: Knowledge, entry: Entry) -> list[Problem]:
    """Report wrong references to plans under `answers`, and in the table of expectations."""
    result = []
    for ref in entry.answers:
        plan = knowledge.by_entry.get(ref)
        if plan is None or plan.type != "Plan":
            result.append(
                Problem(f"{entry.path}:1", f"answers names {ref}, which is not a plan.", "See: mu log plans")
            )
        elif plan.date > entry.date:
            result.append(
                Problem(f"{entry.path}:1", f"answers a plan of {plan.date}, made after this entry.")
            )
    for item in entry.expected:
        named = knowledge.by_entry.get(item.plan) if item.plan else entry
        if named is None or named.type != "Plan":
            result.append(
                Problem(
                    item.where,
                    f"the expectation is that of {item.plan or 'this entry'}, which is not a plan.",
                    "Name the plan in a column `plan`, or write a Plan: nothing else is scored.",
                )
            )
    return result
