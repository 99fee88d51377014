"""Checks of a proposed entry against the log, and its acceptance."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypedDict, Unpack

from merginguriel.errors import KnowledgeError, MuError, UsageError
from merginguriel.knowledge.base import Knowledge, load_readable
from merginguriel.knowledge.parse.entries import Entry, entry_paths
from merginguriel.knowledge.parse.expectations import Expectation
from merginguriel.knowledge.parse.invalidation import Selector
from merginguriel.knowledge.parse.prose_numbers import named_entries
from merginguriel.knowledge.parse.row_parser import CellError, is_future
from merginguriel.text.suggest import suggest
from merginguriel.workspace import Workspace

from . import append, commits, known_names, prior_attempts, takes_back

Ordered = Callable[[Knowledge, Expectation], bool]
EXPECTED = """\
## Expected

| target | mode | method | similarity | k | over | low | high |
|---|---|---|---|---|---|---|---|
| sw-KE | ExcTar | ties | REAL | 5 | best_single_source | -1 pp | +2 pp |"""


class Checks(TypedDict, total=False):
    """Further arguments of `check`, which `preview` and `accept` pass on.

    Attributes:
        anyway: Accept a plan that repeats what was tried or states nothing that can be scored, a name that
            resembles a known one, and a mark that takes back many rows or claims.
        knowledge: Knowledge of this workspace, if the caller has read it.
        program: Merging methods of the program, each with its parameters: names that are known although no row has
            them.
        verdicts: Counts the verdicts that the entry changes, where it takes rows back.
        ordered: Whether an expectation is the pilot that the advice asks for, which no earlier attempt forbids.
    """

    anyway: bool
    knowledge: Knowledge
    program: known_names.Program
    verdicts: takes_back.Verdicts
    ordered: Ordered


@dataclass(frozen=True)
class EntrySource:
    """The text of a proposed entry.

    Attributes:
        given: As its author wrote it, in Markdown or JSON.
        markdown: The same in Markdown.
        keys: Line of the Markdown → key of the JSON; None for an entry written in Markdown.
    """

    given: str
    markdown: str
    keys: Mapping[int, str] | None = None

    @contextlib.contextmanager
    def locating(self, file: Path | None = None) -> Iterator[None]:
        """Let errors raised within name the key of the JSON (in `file`) instead of a line of the Markdown."""
        try:
            yield
        except MuError as error:
            if self.keys is not None:
                key = self._key(error)
                error.where = f"{file}: {key}" if file and key else str(file) if file else key
            elif file and (place := re.search(r"\.md(:\d+)?$", error.where or "")):
                error.where = f"{file}{place[1] or ''}"
            raise

    def _key(self, error: MuError) -> str | None:
        _, _, line = (error.where or "").rpartition(":")
        key = self.keys.get(int(line)) if self.keys and line.isdigit() else None
        if key is None or not isinstance(error, CellError) or not error.column or "[" not in key:
            return key
        in_pp = key.startswith("expected[") and error.column in ("low", "high")
        return f"{key}.{error.column}{'_pp' if in_pp else ''}"


def source_of(space: Workspace, text: str) -> EntrySource:
    """Return a proposed entry's text with its Markdown.

    Raises:
        UsageError: The text is JSON of another form than `mu schema entry` prints; `where` is the key.
    """
    if not text.lstrip().startswith("{"):
        return EntrySource(text, text)
    from . import entry_json

    markdown, keys = entry_json.read(
        text, today=date.today().isoformat(), context=str(space.settings["context"])
    )
    return EntrySource(text, markdown, keys)


def preview(
    space: Workspace,
    text: str,
    *,
    file: Path | None = None,
    repository: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
    **more: Unpack[Checks],
) -> tuple[Entry, str]:
    """Return the entry that `accept` would make of a text, and its Markdown; write nothing.

    The arguments and errors are those of `accept`; `file` is the file that the text was read from.
    """
    source = source_of(space, text)
    with source.locating(file):
        markdown = commits.resolved(source.markdown, space.root, repository, tell)
        entry = append.check_text(space.log, markdown, file)
        found = check(space, entry, tell=tell, **more)
        if found.rows:
            tell(found.text())
    return entry, markdown


def accept(
    space: Workspace,
    text: str,
    *,
    beside: Path | None = None,
    draft: Path | None = None,
    repository: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
    report: Callable[[takes_back.TakenBack], None] | None = None,
    **more: Unpack[Checks],
) -> Entry:
    """Check an entry's text against itself and the log, and write it into the log; keep a refused text as a draft.

    Args:
        space: The workspace.
        text: The entry, in Markdown or as JSON of the form that `mu schema entry` prints.
        beside: Folder of the row files and figures that the text names.
        draft: The draft that the text was read from; a refused text is kept there again.
        repository: Where ranges of commits that the entry invalidates are looked up; see `commits.resolved`.
        tell: Called with a line for each new name, each such range, and what the entry takes back.
        report: Called with what the entry took back once it is in the log.
        more: As of `check`.

    Returns:
        The entry as read back from the log.

    Raises:
        UsageError: The JSON is of another form.
        KnowledgeError: The entry is not valid, or does not fit the log.
        TriedAlready: A plan repeats what the log has measured; the error lists the rows.
    """
    try:
        source = source_of(space, text)
    except UsageError as error:
        refuse_json(space, text, error, draft)
        raise
    markdown = source.markdown
    found = takes_back.TakenBack(0, 0)
    try:
        with source.locating():
            markdown = commits.resolved(markdown, space.root, repository, tell)
            entry = _checked(space, markdown, beside, invalid_is_error=source.keys is not None)
            if entry is not None:
                found = check(space, entry, tell=tell, **more)
    except MuError as error:
        attached = append.row_files(markdown, beside)
        if source.keys is None:
            append.refuse(space.log, markdown, error, attached, draft)
        else:
            refuse_json(space, text, error, draft, attached)
        raise
    from_json = draft is not None and draft.suffix == ".json"
    landed = append.add_text(space.log, markdown, beside=beside, draft=None if from_json else draft)
    from . import drafts  # it imports this module

    drafts.remove_landed(space.log, landed)
    if found.rows:
        tell(found.text())
    if report:
        report(found)
    return landed


def _checked(space: Workspace, text: str, beside: Path | None, *, invalid_is_error: bool) -> Entry | None:
    try:
        return append.check_text(space.log, text, beside / "entry.md" if beside else None)
    except KnowledgeError:
        if invalid_is_error:
            raise
        return None  # add_text refuses it too, and knows its row files


def check(
    space: Workspace, entry: Entry, *, tell: Callable[[str], None] = lambda text: None, **more: Unpack[Checks]
) -> takes_back.TakenBack:
    """Return what an entry takes back; raise KnowledgeError if it does not fit the log.

    That is: a date in the future, a name that resembles a known one, an unknown selector or reference, a mark that
    selects nothing or takes back much, a plan without an expectation, or one that the log has measured.

    Args:
        space: Workspace of the log.
        entry: Parsed entry that is not in the log yet.
        tell: Called with a line for each new name.
        more: Further arguments, each optional.
    """
    plan, anyway, ordered = entry.type == "Plan", more.get("anyway", False), more.get("ordered")
    append.check_head(entry)
    if is_future(entry.date):
        raise KnowledgeError(f"the date {entry.date} is in the future.", where=str(entry.path))
    for row in entry.rows:
        if row.measured and is_future(row.measured):
            raise KnowledgeError(f"measured says {row.measured}, which is in the future.", where=row.where)
    if plan and not entry.expected and not anyway:
        raise KnowledgeError(
            "this plan states no expectation that can be scored.",
            where=str(entry.path),
            hint=f"Add to it, before anything is measured:\n{EXPECTED}\n"
            "or, if nothing will be measured: --anyway",
        )
    knowledge = more.get("knowledge") or load_readable(space)
    new = known_names.unknown(knowledge, more.get("program", {}), entry)
    for item in new:
        if item.near and not anyway:
            raise KnowledgeError(
                f"{item.what}.", where=item.where, hint=f"{item.guess} If it is a different one: --anyway"
            )
    check_references(knowledge, entry)
    check_selectors(knowledge, entry)
    check_text(knowledge, entry)
    if plan and not anyway:
        result = prior_attempts.tried_by_plan(knowledge, entry.expected)
        if result and ordered:
            other = [one for one in entry.expected if not ordered(knowledge, one)]
            result = prior_attempts.tried_by_plan(knowledge, other)
        if result:
            raise prior_attempts.TriedAlready(result, where=str(entry.path))
    found = takes_back.taken_back(knowledge, entry, more.get("verdicts"))
    takes_back.check(knowledge, entry, found, anyway=anyway)
    for item in new:
        tell(f"{item.what}: it is new in this log.")
    return found


def check_references(knowledge: Knowledge, entry: Entry) -> None:
    """Raise KnowledgeError for unknown entries, rows and questions, and for `answers` that name no plan."""
    _check_references_exist(knowledge, entry)
    for ref in entry.answers:
        entry_of = knowledge.by_entry.get(ref)
        if entry_of is None or entry_of.type != "Plan":
            raise KnowledgeError(
                f"answers names {ref}, which is not a plan of this log.",
                where=str(entry.path),
                hint="Write the full id of the plan; see: mu log plans",
            )
    for answer in entry.settles:
        origin = knowledge.by_entry.get(answer.question.partition("#")[0])
        if origin is None or int(answer.question.rpartition("#q")[2]) > len(origin.questions):
            raise KnowledgeError(
                f"{answer.question} is not a question of this log.",
                where=f"{entry.path}:{answer.line}",
                hint="List them: mu log questions --all",
            )


def check_text(knowledge: Knowledge, entry: Entry) -> None:
    """Raise KnowledgeError for an entry or row that the text names and the log does not have."""
    logged = {*_logged_ids(knowledge), *knowledge.by_row}
    for line, name in named_entries(entry.body, entry.body_line):
        if name not in logged:
            raise KnowledgeError(
                f"the text names {name}, which is not in the log.",
                where=f"{entry.path}:{line}",
                hint="See: mu log list",
            )


def _logged_ids(knowledge: Knowledge) -> set[str]:
    """Return the ids of all entries, including those that cannot be read."""
    return {*knowledge.by_entry, *(path.stem for path in entry_paths(knowledge.space.log))}


def _check_references_exist(knowledge: Knowledge, entry: Entry) -> None:
    references = [("supersedes", ref, str(entry.path)) for ref in entry.supersedes]
    references += [("links", ref, str(entry.path)) for ref in entry.links]
    references += [(f"[{q.state}]", q.by, f"{entry.path}:{q.line}") for q in entry.questions if q.by]
    logged = _logged_ids(knowledge) if references else set()
    for kind, ref, where in references:
        if ref not in logged:
            raise KnowledgeError(
                f"{kind} names {ref}, which is not in the log.",
                where=where,
                hint=suggest(ref, logged) or "Write the full id; see: mu log list",
            )


def refuse_json(
    space: Workspace, text: str, error: MuError, draft: Path | None = None, attached: Sequence[Path] = ()
) -> None:
    """Keep the JSON of an entry as a draft, and let `error` name the draft and the key."""
    key, error.where = error.where, None
    draft = draft or append.draft_folder(space.log) / f"{append.digest(text)}.json"
    append.refuse(space.log, text, error, attached, draft)
    if key:
        error.where = f"{draft}: {key}"


def check_selectors(knowledge: Knowledge, entry: Entry) -> None:
    """Raise KnowledgeError for a row, entry or value of a selector that the log does not have."""
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
        raise KnowledgeError(
            f"lifts {selector.entry}, which has no mark to lift.",
            where=where,
            hint=suggest(selector.entry or "", marking) or "No entry with a similar id has a mark.",
        )


def _names(knowledge: Knowledge, key: str) -> set[str] | None:
    """Return the log's values under a selector's key; None where later rows may have further ones."""
    if key == "rows":
        return set(knowledge.by_row)
    if key == "entries":
        return set(knowledge.by_entry)
    if key in ("context", "target", "mode", "method", "similarity", "metric"):
        return {str(getattr(row, key)) for row in knowledge.rows}
    return None


def _names_nothing(key: str, value: str, names: set[str], where: str) -> KnowledgeError:
    near = suggest(value, names)
    if key == "rows" and (
        of_entry := [ref for ref in names if ref.startswith(value.partition("#")[0] + "#r")]
    ):
        hint = f"That entry has {len(of_entry)} row{'s' * (len(of_entry) > 1)}: #r1 … #r{len(of_entry)}."
    elif near:
        hint = near
    else:
        hint = (
            f"It has: {', '.join(sorted(names)[:12])}."
            if key not in ("rows", "entries")
            else "See: mu log list"
        )
    item = {"rows": "row", "entries": "entry"}.get(key, key)
    return KnowledgeError(f"the log has no {item} {value!r}.", where=where, hint=hint)
