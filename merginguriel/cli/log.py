"""`mu log`: list, show, export and add entries of the experiment log."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import click

from merginguriel.errors import UsageError
from merginguriel.text.evidence import row_cells, without_items

from .common import (
    DATE,
    LOCALE,
    columns,
    emit,
    json_option,
    known,
    plain,
    say,
    space,
    stacked,
    workspace_option,
)
from .log_add import add_entry, list_drafts
from .log_import import import_entries
from .log_plans import show_calibration, show_plans, show_tried
from .search import log_search

TYPES = ["Plan", "Observation", "Retrospective", "Troubleshooting"]


@click.group(short_help="List, show and add entries of the experiment log.")
def log() -> None:
    """Read and write the experiment log: one file per entry, never edited once landed."""


for command in (log_search, add_entry, import_entries, list_drafts, show_plans, show_calibration, show_tried):
    log.add_command(command)


# Options that select entries.
filters = stacked(
    click.option("--type", "kind", type=click.Choice(TYPES)),
    click.option("--target", type=LOCALE, help="Entries with a row or an expectation for this locale."),
    click.option("--method", help="Entries with a row or an expectation of this method."),
    click.option("--since", type=DATE, help="Entries of this day or later."),
    click.option("--until", type=DATE, help="Entries of this day or earlier."),
    click.option("--claim", metavar="ID", help="Entries that this claim names as evidence."),
    click.option("--tag", help="Entries with this tag."),
    click.option("--text", help="Entries with these words, in any case."),
)


@log.command("list")
@filters
@click.option("--open", "only_open", is_flag=True,
              help="Plans without an answer, and entries with open questions.")  # fmt: skip
@click.option("--rows", "show_rows", is_flag=True, help="List result rows instead of entries.")
@json_option
@workspace_option
def list_entries(
    only_open: bool, show_rows: bool, as_json: bool, workspace_path: Path | None, kind: str, **chosen: Any
) -> None:
    """List entries in order of date: id, type, number of rows, title."""
    from merginguriel.knowledge.log.question_history import unfinished
    from merginguriel.knowledge.log.timeline import Filter, select

    criteria = Filter(type=kind, **chosen)
    knowledge = known(space(workspace_path))
    entries = select(knowledge, criteria)
    if only_open:
        waiting = unfinished(knowledge, date.today().isoformat())
        entries = [entry for entry in entries if entry.id in waiting]
    if not entries and knowledge.entries:
        say(plain(f"No entry matches. {_hint(knowledge, criteria)}".rstrip()))
    if show_rows:
        rows = [r for e in entries for r in e.rows if criteria.takes(r)]
        if as_json:
            emit([row.as_dict() for row in rows])
        else:
            click.echo(columns([row_cells(row) for row in rows]))
        return
    if as_json:
        emit([{k: v for k, v in e.as_dict().items() if k != "rows"} | {"rows": len(e.rows)} for e in entries])
        return
    if entries:
        click.echo(columns([[e.id, e.type, _count(len(e.rows)), plain(e.title)] for e in entries]))


def _count(rows: int) -> str:
    return f"{rows:3d} row{'s' * (rows != 1)}"


def _hint(knowledge: Any, criteria: Any) -> str:
    """Return similar methods or tags where the log has none of that name."""
    from merginguriel.text.suggest import suggest

    methods = {row.method for row in knowledge.rows} | {
        item.method for e in knowledge.entries for item in e.expected
    }
    tags = {tag for entry in knowledge.entries for tag in entry.tags}
    for kind, name, names in (("method", criteria.method, methods), ("tag", criteria.tag, tags)):
        if name is not None and name not in names:
            return f"No entry has the {kind} {name!r}. {suggest(name, names)}".rstrip()
    return ""


@log.command("export")
@filters
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the file here.")
@json_option
@workspace_option
def export_entries(
    out: Path | None, as_json: bool, workspace_path: Path | None, kind: str, **chosen: Any
) -> None:
    """Export the log, or a part of it, as one chronological Markdown file."""
    from merginguriel import files
    from merginguriel.knowledge.log.timeline import Filter, export, select

    result = select(known(space(workspace_path)), Filter(type=kind, **chosen))
    text = plain(export(result))
    if out is not None:
        files.write_text(out, text)
        say(f"{len(result)} entries.")
    if as_json:
        summary = {"entries": [entry.id for entry in result], "path": str(out) if out else None}
        emit(summary if out else {**summary, "text": text})
    else:
        click.echo(str(out) if out else text.rstrip("\n"))


@log.command("questions")
@click.option("--all", "every", is_flag=True, help="Include closed ones.")
@click.option("--text", help="Questions with these words, in any case.")
@json_option
@workspace_option
def show_questions(every: bool, text: str | None, as_json: bool, workspace_path: Path | None) -> None:
    """List open questions: name, who opened each, and who narrowed or closed it."""
    from merginguriel.knowledge.log.question_history import threads

    result = [
        thread
        for thread in threads(known(space(workspace_path)).entries)
        if (every or thread.state != "closed") and (text is None or text.casefold() in thread.text.casefold())
    ]
    if as_json:
        emit([thread.as_dict() for thread in result])
        return
    for thread in result:
        click.echo(plain(f"{thread.ref}  {thread.state}\n    {thread.text}"))
        for step in thread.steps:
            click.echo(plain(f"    {step.state} by {step.by}" + (f": {step.text}" if step.text else "")))
    done = f"{sum(t.state == 'open' for t in result)} open, {sum(t.state == 'narrowed' for t in result)} narrowed"
    say(done + (f", {sum(t.state == 'closed' for t in result)} closed." if every else "."))


@log.command("show")
@click.argument("entry_id", metavar="ID")
@json_option
@workspace_option
def show_entry(entry_id: str, as_json: bool, workspace_path: Path | None) -> None:
    """Show one entry.

    ID may be any unique beginning of its id, and may name a row: ID#r3.
    """
    knowledge = known(space(workspace_path))
    prefix, _, row = entry_id.partition("#")
    entry = knowledge.entry(prefix)
    if row:
        ref = f"{entry.id}#{row}"
        if ref not in knowledge.by_row:
            raise UsageError(
                f"{entry.id} has no row {row!r}.",
                hint=f"It has {len(entry.rows)}: #r1 … #r{len(entry.rows)}.",
            )
        if as_json:
            emit(knowledge.by_row[ref].as_dict())
        else:
            click.echo(columns([row_cells(knowledge.by_row[ref])]))
        return
    if as_json:
        emit({**entry.as_dict(), "superseded_by": knowledge.superseders.get(entry.id, [])})
        return
    click.echo(f"{entry.id}\n{plain(entry.title)}  ({entry.type}, {entry.date})\n{plain(entry.summary)}")
    for new in knowledge.superseders.get(entry.id, []):
        click.echo(f"corrected by {new}")
    click.echo(f"\n{plain(without_items(entry.body))}")
    if entry.rows:
        click.echo("\nRows as read:\n" + columns([row_cells(r) for r in entry.rows]))
