"""Tools of a plan and its result: check before, add, and what an added entry changes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

from merginguriel import workspace
from merginguriel.errors import MuError, UsageError
from merginguriel.knowledge.base import Knowledge, load, load_readable
from merginguriel.knowledge.log import acceptance, append, commits, plan_scores, question_history
from merginguriel.knowledge.log.entry_json import schema
from merginguriel.knowledge.log.prior_attempts import TriedAlready, tried_by_plan
from merginguriel.knowledge.log.takes_back import TakenBack
from merginguriel.knowledge.parse.entries import Entry
from merginguriel.knowledge.parse.expectations import Expectation
from merginguriel.loop import advise_request
from merginguriel.merging.registry import parameters
from merginguriel.workspace import Workspace

from . import brief
from .bounds import inside
from .tool_results import Landed, PlanCheck

MOST = 5  # earlier attempts, questions, and targets whose advice is compared
ENTRY = schema()
PLAN = {
    **{name: ENTRY[name] for name in ("$defs", "type", "additionalProperties")},
    "properties": {
        name: ENTRY["properties"][name]
        for name in ("expected", "context", "title", "summary", "sections", "tags")
    },
    "required": ["expected"],
}
PLAN["$defs"] = {name: ENTRY["$defs"][name] for name in ("Cell", "Expected")}
LANDING = {
    **ENTRY,
    "properties": {
        **ENTRY["properties"],
        "anyway": {
            "type": "boolean",
            "description": "Accept a plan that repeats an earlier attempt or states no expectation, and a mark that takes back many rows.",
        },
    },
}


def plan_check(space: Workspace, entry: dict[str, Any]) -> PlanCheck:
    """Check a plan before anything is measured; nothing is written. `expected` alone is enough.

    `lands`: whether log_add would accept it. `tried`: earlier attempts. `waiting`: plans for the same measurement.
    `questions`: open ones that it may answer. `expected`: the advice on each merge. `advice`: on each target. `calibration`: how good past expectations were.
    """
    values = {"title": "A plan", "type": "Plan", "summary": "To be checked.", **entry}
    today = date.today().isoformat()
    source = acceptance.source_of(space, json.dumps(values))
    if values["type"] != "Plan":
        raise UsageError(f"this is a {values['type']}, not a Plan.", hint="Leave out type.")
    with source.locating():
        plan = append.check_text(space.log, commits.resolved(source.markdown, space.root))
    knowledge = load(space)
    lands = True
    try:
        with source.locating():
            acceptance.check(
                space, plan, knowledge=knowledge, program=parameters(), ordered=advise_request.ordered_pilot
            )
    except TriedAlready:
        lands = False
    touched = question_history.touched_by(plan, question_history.threads(knowledge.entries))[:MOST]
    return {
        "lands": lands,
        "tried": [brief.match(one.as_dict()) for one in tried_by_plan(knowledge, plan.expected)[:MOST]],
        "waiting": waiting(knowledge, plan, today),
        "questions": [
            {"question": one.ref, "text": one.text, "common": list(common)} for one, common in touched
        ],
        "expected": [
            {"merge": item.label(), **_figures(foreseen(knowledge, item))} for item in plan.expected
        ],
        "advice": [head(knowledge, *one) for one in targets_of(plan.expected)],
        "calibration": plan_scores.summary(plan_scores.scores(knowledge)).as_dict(),
        "next": "log_add with the same `expected`, type Plan, a title and a summary"
        if lands
        else 'Plan something else, or say what is new in sections and log_add with "anyway": true',
    }


def log_add(space: Workspace, entry: dict[str, Any]) -> Landed:
    """Add an entry to the log, whatever the outcome. It is checked and never edited later.

    A Plan states what it expects before anything is measured; its Retrospective names it under `answers`. A rejected
    entry is saved as a draft that the error names. The result has what the entry took back, how the plan was met
    (`scores`), which advice it changed (`changed`), and the `next` call.
    """
    content = {"origin": "an agent, through mu mcp", **entry}
    anyway = content.pop("anyway", False)
    where = workspace.writable(space)
    today = date.today().isoformat()
    years = {today[:4], str(content.get("date"))[:4]}
    for folder in (where.log, where.log / ".draft", *(where.log / year for year in years if year.isdigit())):
        inside(where, folder, "the log")
    text = json.dumps(content, ensure_ascii=False, indent=2)
    if not isinstance(anyway, bool):
        wrong = UsageError("anyway must be true or false.")
        acceptance.refuse_json(where, text, wrong)
        raise wrong
    took: list[TakenBack] = []
    before = load_readable(where)
    landed = acceptance.accept(
        where, text, anyway=anyway, program=parameters(), verdicts=advise_request.changed_verdicts, report=took.append,
        ordered=advise_request.ordered_pilot,
    )  # fmt: skip
    result: Landed = {
        "id": landed.id, "path": where.display(landed.path), "type": landed.type, "rows": len(landed.rows),
        "takes_back": took[0].as_dict(), "next": {"tool": "lint"},
    }  # fmt: skip
    if landed.type == "Plan" and landed.expected:
        result["next"] = {"tool": "log_add", "when": "measured", "arguments": report_of(landed)}
    if landed.rows or landed.answers:
        after = load_readable(where)
        result["scores"] = [
            {"merge": one.expected.label(), "low_pp": one.expected.low_pp, "high_pp": one.expected.high_pp, "actual_pp": one.actual_pp, "inside": one.inside}
            for plan in landed.answers for state in plan_scores.plans(after, today) if state.plan.id == plan
            for one in state.scores
        ]  # fmt: skip
        result["changed"] = [
            {"target": target, "mode": mode, "before": _figures(head(before, target, mode, context)), "after": _figures(head(after, target, mode, context))}
            for target, mode, context in targets_of(landed.rows)
        ]  # fmt: skip
    return result


def report_of(plan: Entry) -> dict[str, Any]:
    """Return the arguments of log_add for the retrospective of a plan, with accuracies to fill in."""
    rows = [
        brief.full({
            "target": one.target, "mode": one.mode, "method": one.method, "similarity": one.similarity, "k": one.k,
            "params": " ".join(f"{name}={value}" for name, value in one.params),
        }) | {"value": None, "baseline_kind": one.over, "baseline": None}
        for one in plan.expected
    ]  # fmt: skip
    empty = {"title": None, "summary": None, "n": None, "sections": {"Findings": None}}
    return {"type": "Retrospective", "answers": [plan.id], **empty, "rows": rows}


def targets_of(items: Iterable[Any]) -> list[tuple[str, str, str]]:
    """Return (target, mode, context) of rows or expectations about a merge, each once."""
    found = dict.fromkeys(
        (one.target, one.mode, one.context) for one in items if "-" not in (one.target, one.mode)
    )
    return list(found)[:MOST]  # fmt: skip


def waiting(knowledge: Knowledge, plan: Entry, today: str) -> list[str]:
    """Return the ids of plans that wait for one of the same measurements."""
    expected = {item.label() for item in plan.expected}
    return [
        state.plan.id
        for state in plan_scores.plans(knowledge, today)
        if any(score.actual_pp is None and score.expected.label() in expected for score in state.scores)
    ]


def foreseen(knowledge: Knowledge, one: Expectation) -> dict[str, Any]:
    """Return the advice on this merge alone."""
    options = {"method": one.method, "similarity": one.similarity, "k": one.k}
    return head(knowledge, one.target, one.mode, one.context, **options)


def head(knowledge: Knowledge, target: str, mode: str, context: str, **options: Any) -> Any:
    """Return the head of an advice; verdict `unknown` with the reason where the question itself is invalid."""
    try:
        about = advise_request.question(knowledge, target, mode=mode, context=context, **options)
        return brief.head(advise_request.advise(knowledge, about))
    except MuError as error:
        return {
            "target": target,
            "mode": mode,
            "context": context,
            "verdict": "unknown",
            "summary": error.what,
        }


def _figures(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("verdict", "arm", "gain") if name in found}
