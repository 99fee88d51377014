"""Is this plan worth its work? What was tried, what waits, which questions it may answer, and what is expected of it."""

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

TOLD = ("target", "mode", "context", "verdict", "summary", "why", "recipe", "gain", "mde_pp", "baseline")


def checked(space: Workspace, given: dict[str, Any]) -> dict[str, Any]:
    """What the knowledge says of a plan, written as the JSON of `mu log add -`. Nothing is written.

    lands        it would be taken as it is; else `tried` says what it repeats
    tried        rows of the same merges and close ones, as `mu log tried --json` prints them
    waiting      plans that wait for one of the same measurements
    questions    open ones that it may answer, each with what they have in common
    expected     each expectation, and under advice what `mu advise` says of this very merge
    advice       what `mu advise` says for each target, whatever the plan is
    calibration  how good the expectations of past plans were, as `mu log calibration --json` sums them up

    Raises UsageError for JSON of another form, KnowledgeError for a plan that could not land whatever was tried.
    """
    today = date.today().isoformat()
    source = acceptance.source_of(space, json.dumps(given))
    if given["type"] != "Plan":
        raise UsageError(f"this is a {given['type']}, not a Plan.", mend="Leave out type.")
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
    targets = dict.fromkeys((one.target, one.mode, one.context) for one in plan.expected)
    return {
        "lands": not matches,
        "tried": [match.as_dict() for match in matches],
        "waiting": waiting(knowledge, plan, today),
        "questions": [{**thread.as_dict(), "common": list(common)} for thread, common in touched],
        "expected": [{**one.as_dict(), "advice": foreseen(knowledge, one)} for one in plan.expected],
        "advice": [told(knowledge, target, mode, context) for target, mode, context in targets],
        "calibration": plan_scores.summary(plan_scores.scores(knowledge)).as_dict(),
    }


def waiting(knowledge: Knowledge, plan: Entry, today: str) -> list[str]:
    """Ids of the plans that wait for a measurement which this one is about too."""
    wanted = {one.label() for one in plan.expected}
    return [
        state.plan.id
        for state in plan_scores.plans(knowledge, today)
        if any(score.actual_pp is None and score.expected.label() in wanted for score in state.scores)
    ]


def foreseen(knowledge: Knowledge, one: Expectation) -> dict[str, Any]:
    """What `mu advise` says if it may answer with this merge alone."""
    return told(
        knowledge, one.target, one.mode, one.context, method=one.method, similarity=one.similarity, k=one.k
    )


def told(knowledge: Knowledge, target: str, mode: str, context: str, **asked: Any) -> dict[str, Any]:
    """The head of an advice; `verdict` unknown, with the reason, where nobody has heard of what is asked for."""
    try:
        found = advise_request.advise(
            knowledge, advise_request.question(knowledge, target, mode=mode, context=context, **asked)
        )
    except UsageError as error:
        return {
            "target": target,
            "mode": mode,
            "context": context,
            "verdict": "unknown",
            "summary": error.what,
        }
    return {name: found[name] for name in TOLD}
