"""MCP tools: one function each, with the JSON output of the command of the same name.

The first parameter is the workspace; the others are the tool's arguments with their descriptions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from merginguriel import locales, workspace
from merginguriel.errors import UsageError
from merginguriel.knowledge.parse.markdown import sections
from merginguriel.knowledge.problems import Problem
from merginguriel.similarity import registry
from merginguriel.workspace import Workspace

from . import brief
from .bounds import check_config, check_links, inside
from .plans import LANDING, PLAN, log_add, plan_check
from .tool_errors import in_tools
from .tool_results import Catalogue, DocumentPage, Head, Hits, Problems, Questions, RunResult

Target = Annotated[str, "the locale to serve, like sw-KE"]
if TYPE_CHECKING:
    Similarity = str
else:
    Similarity = Literal[registry.names(models=False, products=False)]

Method = Annotated[str | None, "this merging method only"]
LONGEST = 8000  # characters of an entry's text


@dataclass(frozen=True)
class ToolFunction:
    """A function as a tool.

    Attributes:
        reads: Whether it answers from the skills and the log.
        writes: Whether it adds to the workspace; no tool changes or removes anything.
        schema: Schema of the arguments, where they are one object that the function checks itself; otherwise it is
            derived from the signature.
    """

    call: Callable[..., Any]
    writes: bool = False
    reads: bool = True
    schema: dict[str, Any] | None = None

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
    full: Annotated[bool, "every row, rule and alternative, as mu advise --all --json"] = False,
) -> Head:
    """Merge or not, how, from which sources, and how sure. Call this before a merge; `next` is the call that follows."""
    from merginguriel.knowledge.base import load
    from merginguriel.loop import advise_request, ledger

    if k is not None and k < 1:
        raise UsageError(f"k must be 1 or more, got {k}.")
    knowledge = load(space, as_of=day(as_of))
    question = advise_request.question(
        knowledge, locales.get(target).tag, mode=mode, context=context, method=method, similarity=similarity,
        k=k, min_gain=min_gain, as_of=day(as_of), budget=budget,
    )  # fmt: skip
    found = ledger.answered(knowledge, question)
    return cast(Head, found.as_dict() if full else brief.advice(found))


def search(
    space: Workspace,
    query: Annotated[str, "words, or a pasted error of many lines; every character is data"],
    kinds: Annotated[list[Literal["skill", "claim", "entry"]] | None, "default: all three"] = None,
    target: Annotated[str | None, "skip what is about other targets only"] = None,
    method: Annotated[str | None, "skip what is about other methods only"] = None,
    limit: Annotated[int, "at most so many, 1 to 200"] = 5,
    rerank: Annotated[bool, "by meaning too: for other wordings and languages"] = False,
) -> Hits:
    """Search skills, claims and log entries, best match first; each hit has its status. `show` returns one in full."""
    from merginguriel.knowledge.search.query import KINDS
    from merginguriel.knowledge.search.query import search as find

    if not 1 <= limit <= 200:
        raise UsageError(f"limit must be between 1 and 200, got {limit}.")
    result = find(
        space, query, kinds=kinds or KINDS, method=method, limit=limit, rerank=rerank,
        target=locales.get(target).tag if target else None,
    )  # fmt: skip
    shown = [brief.full(hit.as_dict() | {"score": None, "marks": None, "path": None}) for hit in result]
    return {"result": shown}


def show(
    space: Workspace,
    name: Annotated[str, "a skill, a claim, an entry (any unique beginning of its id) or a row: ID#r3"],
    offset: Annotated[int, "first row or claim"] = 0,
    limit: Annotated[int, "rows or claims, at most 200"] = 20,
) -> DocumentPage:
    """Return a skill with its claims, a claim, a log entry with its rows, or a row, by pages."""
    from merginguriel.knowledge.base import load
    from merginguriel.knowledge.claims.grading import grade

    check_page(offset, limit)
    knowledge = load(space)
    stand = knowledge.standings
    for skill in knowledge.skills:
        for claim in skill.claims:
            if claim.id == name:
                status = {"status": stand[name].status, "reason": stand[name].reason}
                return page(
                    brief.full({**claim.as_dict(), **status, "grade": grade(claim, knowledge).as_dict()})
                )
        if skill.name == name:
            claims = [
                {"id": one.id, "text": one.text, "status": stand[one.id].status} for one in skill.claims
            ]
            what = {"name": name, "description": skill.description, "body": skill.body}
            return page(what, "claims", claims[offset : offset + limit], len(claims), offset)
    prefix, _, row = name.partition("#")
    entry = knowledge.entry(prefix)
    if row:
        ref = f"{entry.id}#{row}"
        if ref not in knowledge.by_row:
            count = len(entry.rows)
            raise UsageError(f"{entry.id} has no row {row!r}.", hint=f"It has {count}: #r1 … #r{count}.")
        return page(brief.full(knowledge.by_row[ref].as_dict()))
    body = "\n\n".join(
        f"## {one.title}\n\n{one.text}"
        for one in sections(entry.body)
        if one.title and one.title not in ("Results", "Expected")
    )
    values = {
        **entry.as_dict(),
        "superseded_by": knowledge.superseders.get(entry.id, []),
        "body": body[:LONGEST],
    }
    what = brief.full({key: value for key, value in values.items() if key not in ("rows", "path")})
    rows = [
        {key: value for key, value in brief.full(one.as_dict()).items() if value != what.get(key)}
        for one in entry.rows[offset : offset + limit]
    ]
    return page(what, "rows", rows, len(entry.rows), offset)


def page(what: Any, name: str = "", items: Sequence[Any] = (), total: int = 0, offset: int = 0) -> Any:
    """Return an answer with a page of its items, their total number and the offset of the next page."""
    if not name:
        return what
    after = offset + len(items)
    more = {"next_offset": after} if items and after < total else {}
    return {**what, name: list(items), "total": total, **more}


def check_page(offset: int, limit: int) -> None:
    """Raise UsageError for a page that no list has."""
    if offset < 0 or not 1 <= limit <= 200:
        raise UsageError(f"offset must be 0 or more and limit 1 to 200, got {offset} and {limit}.")


def lint(
    space: Workspace, offset: Annotated[int, "first problem"] = 0, limit: Annotated[int, "1 to 200"] = 20
) -> Problems:
    """Check skills and log: each problem with file, line and hint. Call it after log_add."""
    from merginguriel.knowledge.lint.runner import cached_problems
    from merginguriel.merging.registry import parameters

    check_page(offset, limit)
    found = [one.as_dict() for one in cached_problems(space, program=parameters)]
    items = [{**brief.full(one), "hint": in_tools(str(one["hint"] or ""))} for one in found]
    return page({}, "items", items[offset : offset + limit], len(items), offset)


def questions(
    space: Workspace,
    target: Annotated[str | None, "questions that name this locale or its language"] = None,
    offset: Annotated[int, "first question"] = 0,
    limit: Annotated[int, "1 to 200"] = 20,
) -> Questions:
    """Return the open questions of the log, newest first; an entry answers one under `closes` or `narrows`."""
    from merginguriel.knowledge.base import load
    from merginguriel.knowledge.log.question_history import threads

    check_page(offset, limit)
    place = locales.get(target) if target else None
    items = [
        {"question": one.ref, "text": one.text, "state": one.state}
        for one in reversed(threads(load(space).entries))
        if one.state != "closed"
        and (place is None or place.tag in one.text or place.name.split()[0] in one.text)
    ]
    return page({}, "items", items[offset : offset + limit], len(items), offset)


def catalogue(space: Workspace, limit: Annotated[int, "characters, 500 to 20,000"] = 4000) -> Catalogue:
    """Return all skills, a line each, with the grade of their evidence and their age; `show` prints one."""
    from merginguriel.knowledge.base import load
    from merginguriel.knowledge.skills import catalogue as made

    if not 500 <= limit <= 20_000:
        raise UsageError(f"limit must be 500 to 20,000, got {limit}.")
    return {"skills": in_tools(made.catalogue(load(space), limit=limit))}


def why(
    space: Workspace,
    name: Annotated[str, "a claim, a skill, an entry (any unique beginning of its id) or a row: ID#r3"],
    as_of: Annotated[str | None, "only what was known by this day, YYYY-MM-DD"] = None,
) -> dict[str, Any]:
    """Return the evidence of a statement, down to the file: claim, entry, row, run, artefact, with grades."""
    from merginguriel.knowledge.base import load
    from merginguriel.knowledge.claims.evidence_tree import why as walk

    return walk(load(space, as_of=day(as_of)), name).as_dict()


def run_start(
    space: Workspace,
    config: Annotated[
        dict[str, Any], "what `mu run` reads from YAML: kind, target, sources or similarity, method, …"
    ],
) -> RunResult:
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
) -> dict[str, Any]:
    """Return the state, events and result of a run, or the list of all runs."""
    from merginguriel.config import run_config as configs
    from merginguriel.runs import run_index
    from merginguriel.runs import run_store as stored

    if run is None:
        result, _ = run_index.listed(space, None, state=None, kind=None, target=None)
        return {"result": [row | {"config": json.loads(row["config"])} for row in result]}
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


TOOLS = (
    ToolFunction(advise),
    ToolFunction(search),
    ToolFunction(show),
    ToolFunction(why),
    ToolFunction(catalogue),
    ToolFunction(questions),
    ToolFunction(lint),
    ToolFunction(plan_check, schema=PLAN),
    ToolFunction(log_add, writes=True, schema=LANDING),
    ToolFunction(run_start, writes=True, reads=False),
    ToolFunction(run_status, reads=False),
)


def day(text: str | None) -> str | None:
    """Return `text` if it is a day as YYYY-MM-DD; raise UsageError otherwise."""
    from merginguriel.knowledge.parse.row_parser import is_day

    if text is not None and not is_day(text):
        raise UsageError(f"{text!r} is not a date: YYYY-MM-DD.")
    return text


def call(tool: ToolFunction, space: Workspace, arguments: dict[str, Any]) -> tuple[Any, tuple[Problem, ...]]:
    """Run a tool on the workspace as it is on the disk now; return its result and the files that cannot be read."""
    from merginguriel.knowledge.base import load_readable

    again = workspace.find(explicit=space.root) if not space.shipped else space
    check_links(again)
    return tool.call(again, **arguments), load_readable(again).problems if tool.reads else ()
