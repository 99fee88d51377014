"""Check of a plan: earlier attempts, waiting plans, open questions and expected gains."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from merginguriel.errors import UsageError
from merginguriel.knowledge.base import Knowledge, load
from merginguriel.knowledge.log import acceptance, append, commits, plan_scores, questions
from merginguriel.knowledge.log.prior_attempts import TriedAlready
from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.expectations import Expectation
from merginguriel.loop import advise_request
from merginguriel.merging.registry import parameters
from merginguriel.workspace import Workspace

HEAD = ("target", "mode", "context", "verdict", "summary", "why", "recipe", "gain", "mde_pp", "baseline")


def checked(space: Workspace, values: dict[str, Any]) -> dict[str, Any]:
    """Return what the knowledge says about a plan. Nothing is written.

    Args:
        space: The workspace.
        values: The plan, as the JSON of `mu log add -`.

    Returns:
        `lands`: whether the plan would be accepted as it is. `tried`: rows of the same and similar merges, like
        `mu log tried --json`. `waiting`: plans that wait for one of the same measurements. `questions`: open questions
        that it may answer, with what they have in common. `expected`: each expectation with the advice on this merge.
        `advice`: the advice on each target. `calibration`: how good past expectations were, like
        `mu log calibration --json`.

    Raises:
        UsageError: The JSON has another form.
        KnowledgeError: The plan could not be accepted whatever was tried.
    """
    today = date.today().isoformat()
    source = acceptance.source_of(space, json.dumps(values))
    if values["type"] != "Plan":
        raise UsageError(f"this is a {values['type']}, not a Plan.", hint="Leave out type.")
    with source.locating():
        plan = append.check_text(space.log, commits.resolved(source.markdown, space.root))
    knowledge = load(space)
    matches = []
    try:
        with source.locating():
            acceptance.check(space, plan, knowledge=knowledge, program=parameters())
    except TriedAlready as error:
        matches = error.matches
    touched = questions.touched_by(plan, questions.threads(knowledge.entries))
    targets = dict.fromkeys((item.target, item.mode, item.context) for item in plan.expected)
    return {
        "lands": not matches,
        "tried": [match.as_dict() for match in matches],
        "waiting": waiting(knowledge, plan, today),
        "questions": [{**thread.as_dict(), "common": list(common)} for thread, common in touched],
        "expected": [{**item.as_dict(), "advice": foreseen(knowledge, item)} for item in plan.expected],
        "advice": [advice_head(knowledge, target, mode, context) for target, mode, context in targets],
        "calibration": plan_scores.summary(plan_scores.scores(knowledge)).as_dict(),
    }


def waiting(knowledge: Knowledge, plan: Entry, today: str) -> list[str]:
    """Return the ids of plans that wait for one of the same measurements."""
    expected = {item.label() for item in plan.expected}
    return [
        state.plan.id
        for state in plan_scores.plans(knowledge, today)
        if any(score.actual_pp is None and score.expected.label() in expected for score in state.scores)
    ]


def foreseen(knowledge: Knowledge, expectation: Expectation) -> dict[str, Any]:
    """Return the advice on this merge alone."""
    return advice_head(
        knowledge,
        expectation.target,
        expectation.mode,
        expectation.context,
        method=expectation.method,
        similarity=expectation.similarity,
        k=expectation.k,
    )


def advice_head(knowledge: Knowledge, target: str, mode: str, context: str, **options: Any) -> dict[str, Any]:
    """Return the head of an advice; verdict `unknown` with the reason where the question itself is invalid."""
    try:
        result = advise_request.advise(
            knowledge, advise_request.question(knowledge, target, mode=mode, context=context, **options)
        )
    except UsageError as error:
        return {
            "target": target,
            "mode": mode,
            "context": context,
            "verdict": "unknown",
            "summary": error.what,
        }
    data = result.as_dict()
    return {name: data[name] for name in HEAD}
