"""May this entry land? What its own text cannot say: is the plan new, do its references lead somewhere?"""

from __future__ import annotations

import contextlib
from pathlib import Path

from ..errors import KnowledgeError, MuError
from ..workspace import Workspace
from . import tried, writing
from .base import Knowledge, load, superseded
from .entries import Entry, entry_paths, load_entry

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
) -> Entry:
    """Check an entry's text against itself and the log, and write it into the log; else it is kept as a draft.

    beside  folder of the row files and figures that the text names
    draft   the draft that it came from: where it is kept again if it is refused
    anyway  a plan may repeat what was tried, and may state nothing that can be scored

    Raises KnowledgeError; TriedAlready, which lists the rows, for a plan that repeats what the log has measured.
    """
    try:
        entry = writing.check_text(space.log, text, beside / "entry.md" if beside else None)
    except KnowledgeError:
        entry = None  # add_text refuses it too, and knows where its files lie
    if entry is not None:
        try:
            check(space, entry, anyway=anyway)
        except MuError as error:
            writing.refuse(space.log, text, error, writing.row_files(text, beside), draft)
            raise
    return writing.add_text(space.log, text, beside=beside, draft=draft)


def check(
    space: Workspace, entry: Entry, *, anyway: bool = False, knowledge: Knowledge | None = None
) -> None:
    """Raises KnowledgeError if a plan may not land, or if `answers` or a settled question leads nowhere.

    knowledge  of this workspace, where the caller has read it already
    """
    plan = entry.type == "Plan"
    if plan and not entry.expected and not anyway:
        raise KnowledgeError(
            "this plan states no expectation that can be scored.",
            where=str(entry.path),
            mend=f"Add to it, before anything is measured:\n{EXPECTED}\n"
            "or, where nothing is going to be measured: --anyway",
        )
    if not (plan or entry.answers or entry.settles):
        return
    knowledge = knowledge or logged(space)
    check_references(knowledge, entry)
    if plan and not anyway:
        found = tried.tried_by_plan(knowledge, entry.expected)
        if found:
            raise tried.TriedAlready(found, where=str(entry.path))


def logged(space: Workspace) -> Knowledge:
    """The knowledge of a workspace; of one with a faulty file, or without skills, the entries that can be read.

    A file that somebody else left broken must not stop an entry from landing; `mu lint` names it.
    """
    with contextlib.suppress(MuError):
        return load(space)
    found: list[Entry] = []
    for path in entry_paths(space.log):
        with contextlib.suppress(MuError):
            found.append(load_entry(path))
    return Knowledge(space, (), superseded(found), "")


def check_references(knowledge: Knowledge, entry: Entry) -> None:
    """Raises KnowledgeError for `answers` that names no plan, and for a question that nobody asked."""
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
