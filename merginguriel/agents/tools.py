"""MCP tools: one function each, with the JSON output of the command of the same name.

The first parameter is the workspace; the others are the tool's arguments with their descriptions.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

from merginguriel import locales, workspace
from merginguriel.decision.advice_types import Advice
from merginguriel.errors import UsageError
from merginguriel.knowledge.log.entry_json import schema
from merginguriel.knowledge.log.takes_back import TakenBack
from merginguriel.knowledge.problems import Problem
from merginguriel.similarity import registry
from merginguriel.text.advice import render
from merginguriel.workspace import Workspace

from .bounds import check_config, check_links, inside

Target = Annotated[str, "the locale to serve, like sw-KE"]
if TYPE_CHECKING:
    Similarity = str
else:
    Similarity = Literal[registry.names(models=False, products=False)]

Method = Annotated[str | None, "this method only; see the skill merging-methods or `mu methods`"]


@dataclass(frozen=True)
class ToolFunction:
    """A function as a tool.

    Attributes:
        call: The function.
        reads: Whether it answers from the skills and the log.
        writes: Whether it adds to the workspace; no tool changes or removes anything.
        schema: Schema of the arguments, where they are one object that the function checks itself; otherwise it is
            derived from the signature.
        text: Format the result as text, in addition to the JSON.
    """

    call: Callable[..., Any]
    writes: bool = False
    reads: bool = True
    schema: dict[str, Any] | None = None
    text: Callable[[Any], str] | None = None

    @property
    def name(self) -> str:
        """Name of the tool."""
        return self.call.__name__


def advise(
    space: Workspace,
    target: Target,
    mode: Annotated[
        Literal["ExcTar", "IncTar"], "is the target's own model among the sources (IncTar) or not (ExcTar)?"
    ] = "ExcTar",
    context: Annotated[str | None, "task/base-model; default: that of the workspace"] = None,
    method: Method = None,
    similarity: Annotated[Similarity | None, "this similarity only"] = None,
    k: Annotated[int | None, "this number of sources only"] = None,
    min_gain: Annotated[float | None, "smallest gain worth a merge, in percentage points"] = None,
    as_of: Annotated[str | None, "answer from what was known on this day, YYYY-MM-DD"] = None,
    budget: Annotated[
        int | None, "the most pieces of work that a pilot may take: trainings, merges, evaluations"
    ] = None,
) -> Advice:
    """Merge or not, how, from which sources, and how sure; with every row of evidence. Call this before a merge."""
    from merginguriel.knowledge.base import load
    from merginguriel.loop import advise_request, ledger

    if k is not None and k < 1:
        raise UsageError(f"k must be 1 or more, got {k}.")
    knowledge = load(space, as_of=day(as_of))
    question = advise_request.question(
        knowledge, locales.get(target).tag, mode=mode, context=context, method=method, similarity=similarity,
        k=k, min_gain=min_gain, as_of=day(as_of), budget=budget,
    )  # fmt: skip
    return ledger.answered(knowledge, question)


def search(
    space: Workspace,
    query: Annotated[str, "words, or a pasted error of many lines; every character is data"],
    kinds: Annotated[list[Literal["skill", "claim", "entry"]] | None, "default: all three"] = None,
    target: Annotated[str | None, "skip what is about other targets only"] = None,
    method: Annotated[str | None, "skip what is about other methods only"] = None,
    limit: Annotated[int, "at most so many, 1 to 200"] = 10,
) -> list[dict[str, object]]:
    """Search skills, claims and log entries, the most certain and newest first; each hit has its status."""
    from merginguriel.knowledge.search.query import KINDS
    from merginguriel.knowledge.search.query import search as find

    if not 1 <= limit <= 200:
        raise UsageError(f"limit must be between 1 and 200, got {limit}.")
    result = find(
        space, query, kinds=kinds or KINDS, method=method, limit=limit,
        target=locales.get(target).tag if target else None,
    )  # fmt: skip
    return [hit.as_dict() for hit in result]


def show(
    space: Workspace,
    name: Annotated[str, "a skill, a claim, an entry (any unique beginning of its id) or a row: ID#r3"],
) -> dict[str, Any]:
    """Return one skill with its claims and their status, one claim, one log entry, or one result row."""
    from merginguriel.knowledge.base import load
    from merginguriel.knowledge.claims.grading import grade

    knowledge = load(space)
    stand = knowledge.standings
    for skill in knowledge.skills:
        matching = [claim for claim in skill.claims if name in (skill.name, claim.id)]
        claims = [
            {
                **claim.as_dict(),
                "status": stand[claim.id].status,
                "reason": stand[claim.id].reason,
                "grade": grade(claim, knowledge).as_dict(),
            }
            for claim in matching
        ]
        if skill.name == name:
            return {**skill.as_dict(), "claims": claims}
        if claims:
            return claims[0]
    prefix, _, row = name.partition("#")
    entry = knowledge.entry(prefix)
    if not row:
        return {**entry.as_dict(), "superseded_by": knowledge.superseders.get(entry.id, [])}
    ref = f"{entry.id}#{row}"
    if ref not in knowledge.by_row:
        count = len(entry.rows)
        raise UsageError(f"{entry.id} has no row {row!r}.", hint=f"It has {count}: #r1 … #r{count}.")
    return knowledge.by_row[ref].as_dict()


def why(
    space: Workspace,
    name: Annotated[str, "a claim, a skill, an entry (any unique beginning of its id) or a row: ID#r3"],
    as_of: Annotated[str | None, "only what was known by this day, YYYY-MM-DD"] = None,
) -> dict[str, object]:
    """Return the evidence of a statement, down to the file: claim, entry, row, run, artefact, with grades."""
    from merginguriel.knowledge.base import load
    from merginguriel.knowledge.claims.evidence_tree import why as walk

    return walk(load(space, as_of=day(as_of)), name).as_dict()


def plan_check(space: Workspace, entry: dict[str, Any]) -> dict[str, Any]:
    """Check a plan before you write it. Nothing is written.

    Returns earlier attempts, plans that wait for the same measurement, open questions that it may answer, the advice on
    each merge, and how good past expectations were.

    Takes the arguments of log_add; `expected` is enough. `lands`: log_add would accept this plan as it is.
    """
    from .plans import checked

    return checked(space, {"title": "A plan", "type": "Plan", "summary": "To be checked.", **entry})


def log_add(space: Workspace, entry: dict[str, Any]) -> dict[str, object]:
    """Add an entry to the log, whatever the outcome. It is checked, written under its own name, and never edited.

    A Plan states what it expects before anything is measured; its Retrospective names it under `answers`. A rejected entry
    is saved as a draft, and the error names the draft and the reason; for a plan that was already measured, `matches` has
    the rows. `takes_back`: how many rows stop counting, and how many claims and verdicts change.
    """
    from merginguriel.knowledge.log import acceptance
    from merginguriel.loop.changed_verdicts import changed_verdicts
    from merginguriel.merging.registry import parameters

    content = {"origin": "an agent, through mu mcp", **entry}
    anyway = content.pop("anyway", False)
    where = workspace.writable(space)
    today = date.today().isoformat()
    day_of = content.get("date")
    years = {today[:4], str(day_of)[:4]}
    for folder in (where.log, where.log / ".draft", *(where.log / year for year in years if year.isdigit())):
        inside(where, folder, "the log")
    text = json.dumps(content, ensure_ascii=False, indent=2)
    if not isinstance(anyway, bool):
        wrong = UsageError("anyway must be true or false.")
        acceptance.refuse_json(where, text, wrong)
        raise wrong
    took: list[TakenBack] = []
    landed = acceptance.accept(
        where, text, anyway=anyway, program=parameters(), verdicts=changed_verdicts, report=took.append
    )
    return {**landed.as_dict(), "takes_back": took[0].as_dict()}


def default(space: Workspace) -> str:
    """Return the context of an entry that does not name one."""
    return str(space.settings["context"])


def run_start(
    space: Workspace,
    config: Annotated[
        dict[str, Any], "what `mu run` reads from YAML: kind, target, sources or similarity, method, …"
    ],
) -> dict[str, Any]:
    """Start an experiment in a separate process, which outlives this server. The same configuration is the same run.

    `run_status` reports its progress.
    """
    from merginguriel.config import run_config as configs
    from merginguriel.runs import run_store, worker

    where = workspace.writable(space)
    inside(where, where.runs, "runs")
    configuration = configs.from_table(config, where="config", folder=where.root)
    check_config(where, configuration)
    run = run_store.create(where, configuration)
    if run_store.state(run) == "finished":
        return {"run": run.id, "state": "finished", "pid": None}
    return {"run": run.id, "state": "running", "pid": worker.start(run)}


def run_status(
    space: Workspace, run: Annotated[str | None, "a run's id or its beginning; without it, all runs"] = None
) -> Any:
    """Return the state, events and result of a run, or the list of all runs."""
    from merginguriel.config import run_config as configs
    from merginguriel.runs import index
    from merginguriel.runs import run_store as stored

    if run is None:
        result, _ = index.listed(space, None, state=None, kind=None, target=None)
        return [row | {"config": json.loads(row["config"])} for row in result]
    item = stored.get(space, run)
    inside(space, item.folder, "the run")
    happened = stored.events(item)
    now = stored.state_of(item, happened)
    return {
        "run": item.id,
        "state": now,
        "folder": str(item.folder),
        "config": configs.as_table(item.config),
        "events": happened,
        "result": stored.result(item) if now == "finished" else None,
    }


ENTRY = schema()
PLAN = {**ENTRY, "title": "A plan", "required": ["expected"]}
LANDING = {
    **ENTRY,
    "properties": {
        **ENTRY["properties"],
        "anyway": {
            "type": "boolean",
            "description": "Accept a plan that repeats an earlier attempt or states no expectation, and a mark that takes back many rows, like --anyway.",
        },
    },
}

TOOLS = (
    ToolFunction(advise, text=render),
    ToolFunction(search),
    ToolFunction(show),
    ToolFunction(why),
    ToolFunction(plan_check, schema=PLAN),
    ToolFunction(log_add, writes=True, schema=LANDING),
    ToolFunction(run_start, writes=True, reads=False),
    ToolFunction(run_status, reads=False),
)


def day(text: str | None) -> str | None:
    """Return `text` if it is a day as YYYY-MM-DD; raise UsageError otherwise."""
    if text is None:
        return None
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise UsageError(f"{text!r} is not a date: YYYY-MM-DD.")


def call(tool: ToolFunction, space: Workspace, arguments: dict[str, Any]) -> tuple[Any, tuple[Problem, ...]]:
    """Run a tool on the workspace as it is on the disk now; return its result and the files that cannot be read."""
    from merginguriel.knowledge.base import load_readable

    again = workspace.find(explicit=space.root) if not space.shipped else space
    check_links(again)
    return tool.call(again, **arguments), load_readable(again).problems if tool.reads else ()
