"""May this entry land? What its own text cannot say: is the plan new, do its references lead somewhere?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

from merginguriel.errors import KnowledgeError, MuError, UsageError
from merginguriel.knowledge.base import Knowledge, load_readable
from merginguriel.knowledge.parse.entries import Entry, entry_paths
from merginguriel.knowledge.parse.invalidation import Selector
from merginguriel.knowledge.parse.prose_numbers import named_entries
from merginguriel.knowledge.parse.row_parser import is_future
from merginguriel.workspace import Workspace

from . import append, commits, prior_attempts, vocabulary
from .entry_json import entry_text

EXPECTED = """\
## Expected

| target | mode | method | similarity | k | over | low | high |
|---|---|---|---|---|---|---|---|
| sw-KE | ExcTar | ties | REAL | 5 | best_single_source | -1 pp | +2 pp |"""


def accept(
    space: Workspace,
    text: str,
    *,
    beside: Path | None = None,
    draft: Path | None = None,
    anyway: bool = False,
    program: vocabulary.Program | None = None,
    repository: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Entry:
    """Check an entry's text against itself and the log, and write it into the log; else it is kept as a draft.

    beside  folder of the row files and figures that the text names
    draft   the draft that it came from: where it is kept again if it is refused
    anyway  a plan may repeat what was tried, and may state nothing that can be scored; a name may be nearly a known one
    program the methods that the program has, each with its parameters: names that are known although no row has them
    repository  where ranges of commits that it invalidates are looked up; see `commits.resolved`
    tell    is called with a line for each name that is new, and each such range

    Raises KnowledgeError; TriedAlready, which lists the rows, for a plan that repeats what the log has measured.
    """
    try:
        text = commits.resolved(text, space.root, repository, tell)
    except MuError as error:
        append.refuse(space.log, text, error, append.row_files(text, beside), draft)
        raise
    try:
        entry = append.check_text(space.log, text, beside / "entry.md" if beside else None)
    except KnowledgeError:
        entry = None  # add_text refuses it too, and knows where its files lie
    if entry is not None:
        try:
            check(space, entry, anyway=anyway, program=program, tell=tell)
        except MuError as error:
            append.refuse(space.log, text, error, append.row_files(text, beside), draft)
            raise
    return append.add_text(space.log, text, beside=beside, draft=draft)


def check(
    space: Workspace,
    entry: Entry,
    *,
    anyway: bool = False,
    knowledge: Knowledge | None = None,
    program: vocabulary.Program | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> None:
    """Raises KnowledgeError for what may not land beside the log as it is; the arguments are those of `accept`.

    That is a day that has not come, a name that is nearly a known one, a selector or reference that leads nowhere, and a
    plan without an expectation, or for what was tried.

    knowledge  of this workspace, where the caller has read it already
    """
    plan = entry.type == "Plan"
    if is_future(entry.date):
        raise KnowledgeError(f"the date {entry.date} lies in the future.", where=str(entry.path))
    for row in entry.rows:
        if row.measured and is_future(row.measured):
            raise KnowledgeError(f"measured says {row.measured}, which lies in the future.", where=row.where)
    if plan and not entry.expected and not anyway:
        raise KnowledgeError(
            "this plan states no expectation that can be scored.",
            where=str(entry.path),
            mend=f"Add to it, before anything is measured:\n{EXPECTED}\n"
            "or, where nothing is going to be measured: --anyway",
        )
    knowledge = knowledge or load_readable(space)
    new = vocabulary.unknown(knowledge, program or {}, entry)
    for one in new:
        if one.near and not anyway:
            raise KnowledgeError(
                f"{one.what}.", where=one.where, mend=f"{one.guess} If it is really another one: --anyway"
            )
    check_references(knowledge, entry)
    check_selectors(knowledge, entry)
    check_text(knowledge, entry)
    if plan and not anyway:
        found = prior_attempts.tried_by_plan(knowledge, entry.expected)
        if found:
            raise prior_attempts.TriedAlready(found, where=str(entry.path))
    for one in new:
        tell(f"{one.what}: it is new to this log.")


def check_references(knowledge: Knowledge, entry: Entry) -> None:
    """Raises KnowledgeError for an entry or row that is named and not in the log, `answers` that names no plan, and a
    question that nobody asked."""
    _check_named(knowledge, entry)
    for ref in entry.answers:
        named = knowledge.by_entry.get(ref)
        if named is None or named.type != "Plan":
            raise KnowledgeError(
                f"answers names {ref}, which is no plan of this log.",
                where=str(entry.path),
                mend="Write the plan's id whole; see: mu log plans",
            )
    for one in entry.settles:
        asked = knowledge.by_entry.get(one.question.partition("#")[0])
        if asked is None or int(one.question.rpartition("#q")[2]) > len(asked.questions):
            raise KnowledgeError(
                f"{one.question} is no question of this log.",
                where=f"{entry.path}:{one.line}",
                mend="See their names: mu log questions --all",
            )


def check_text(knowledge: Knowledge, entry: Entry) -> None:
    """Raises KnowledgeError for an entry or row that the text names and the log has not."""
    there = {*_logged_ids(knowledge), *knowledge.by_row}
    for line, name in named_entries(entry.body, entry.body_line):
        if name not in there:
            raise KnowledgeError(
                f"the text names {name}, which is not in the log.",
                where=f"{entry.path}:{line}",
                mend="See: mu log list",
            )


def _logged_ids(knowledge: Knowledge) -> set[str]:
    """Ids of all entries. A file that cannot be read is in the log all the same."""
    return {*knowledge.by_entry, *(path.stem for path in entry_paths(knowledge.space.log))}


def _check_named(knowledge: Knowledge, entry: Entry) -> None:
    named = [("supersedes", ref, str(entry.path)) for ref in entry.supersedes]
    named += [("links", ref, str(entry.path)) for ref in entry.links]
    named += [(f"[{q.state}]", q.by, f"{entry.path}:{q.line}") for q in entry.questions if q.by]
    there = _logged_ids(knowledge) if named else set()
    for kind, ref, where in named:
        if ref not in there:
            near = vocabulary.near(ref, there, 0.6)
            raise KnowledgeError(
                f"{kind} names {ref}, which is not in the log.",
                where=where,
                mend=f"Did you mean {' or '.join(near)}?" if near else "Write its id whole; see: mu log list",
            )


def json_text(space: Workspace, text: str, draft: Path | None = None) -> str:
    """The Markdown of an entry that a program wrote as JSON; what has not the form of `mu schema entry` is kept as it is.

    draft  the draft that it came from: where it is kept again. Raises UsageError.
    """
    try:
        return entry_text(text, today=date.today().isoformat(), context=str(space.settings["context"]))
    except UsageError as error:
        refuse_json(space, text, error, draft)
        raise


def refuse_json(space: Workspace, text: str, error: MuError, draft: Path | None = None) -> None:
    """Keep the JSON of an entry as a draft, and let `error` say where it lies."""
    own = space.log / ".draft" / f"{append.digest(text)}.json"
    append.refuse(space.log, text, error, draft=draft or own)


def check_selectors(knowledge: Knowledge, entry: Entry) -> None:
    """Raises KnowledgeError for a row, entry or value that a selector names and the log has not: it would mark nothing."""
    for mark in entry.marks:
        for selector in mark.selectors:
            where = f"{entry.path}:{selector.line}"
            if mark.kind == "Lifts":
                _check_lifted(knowledge, selector, where)
            for key, values in selector.conditions:
                names = _names(knowledge, key)
                for value in values:
                    if names is not None and value not in names:
                        raise _names_nothing(key, value, names, where)


def _check_lifted(knowledge: Knowledge, selector: Selector, where: str) -> None:
    marking = [e.id for e in knowledge.entries if any(mark.kind != "Lifts" for mark in e.marks)]
    if selector.entry not in marking:
        near = vocabulary.near(selector.entry or "", marking, 0.6)
        raise KnowledgeError(
            f"lifts {selector.entry}, which contests and invalidates nothing.",
            where=where,
            mend=f"Did you mean {' or '.join(near)}?" if near else "No entry like it has such a section.",
        )


def _names(knowledge: Knowledge, key: str) -> set[str] | None:
    """What the log has under a selector's key; None for a key whose values may match rows that come later."""
    if key == "rows":
        return set(knowledge.by_row)
    if key == "entries":
        return set(knowledge.by_entry)
    if key in ("context", "target", "mode", "method", "similarity", "metric"):
        return {str(getattr(row, key)) for row in knowledge.rows}
    return None


def _names_nothing(key: str, value: str, names: set[str], where: str) -> KnowledgeError:
    near = vocabulary.near(value, names, 0.6)
    if key == "rows" and (
        of_entry := [ref for ref in names if ref.startswith(value.partition("#")[0] + "#r")]
    ):
        mend = f"That entry has {len(of_entry)} row{'s' * (len(of_entry) > 1)}: #r1 … #r{len(of_entry)}."
    elif near:
        mend = f"Did you mean {' or '.join(near)}?"
    else:
        mend = (
            f"It has: {', '.join(sorted(names)[:12])}."
            if key not in ("rows", "entries")
            else "See: mu log list"
        )
    one = {"rows": "row", "entries": "entry"}.get(key, key)
    return KnowledgeError(f"the log has no {one} {value!r}.", where=where, mend=mend)
