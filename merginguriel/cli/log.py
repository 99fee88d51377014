"""`mu log`: what was planned, seen and learned, and how to add to it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import workspace
from ..errors import MuError, UsageError
from .common import DATE, LOCALE, columns, emit, json_option, plain, say, space, workspace_option
from .search import log_search

if TYPE_CHECKING:
    from ..knowledge.entries import Entry
    from ..knowledge.writing import Draft

TEMPLATE = """\
---
title: ""
type: "Retrospective"
date: "{today}"
summary: ""
context: "{context}"
metric: "accuracy"
n: ""
---

## What was tried

## Results

| target | mode | method | params | similarity | k | sources | value | baseline_kind | baseline | wins | losses | se |
|--------|------|--------|--------|------------|---|---------|-------|---------------|----------|------|--------|----|

## Findings

## What failed

## Open questions

- [open]
"""


@click.group(short_help="List, show and add entries of the experiment log.")
def log() -> None:
    """The experiment log: plans, observations and retrospectives, one file each, never edited once landed."""


log.add_command(log_search)


@log.command("list")
@click.option("--type", "kind", type=click.Choice(["Plan", "Observation", "Retrospective"]))
@click.option("--target", type=LOCALE, help="Entries with a row for this locale.")
@click.option("--method", help="Entries with a row of this method.")
@click.option("--since", type=DATE, help="Entries of this day or later.")
@click.option("--rows", "show_rows", is_flag=True, help="List result rows instead of entries.")
@json_option
@workspace_option
def list_entries(
    kind: str | None,
    target: str | None,
    method: str | None,
    since: str | None,
    show_rows: bool,
    as_json: bool,
    workspace_path: Path | None,
) -> None:
    """Entries in order of date: id, type, number of rows, title."""
    from ..knowledge.base import load

    knowledge = load(space(workspace_path))
    found = [
        e
        for e in knowledge.entries
        if kind in (None, e.type)
        and (since is None or e.date >= since)
        and (target is None or any(r.target == target for r in e.rows))
        and (method is None or any(r.method == method for r in e.rows))
    ]
    if show_rows:
        rows = [r for e in found for r in e.rows if target in (None, r.target) and method in (None, r.method)]
        if as_json:
            emit([row.as_dict() for row in rows])
        else:
            click.echo(columns([_row_line(row) for row in rows]))
        return
    if as_json:
        emit([{k: v for k, v in e.as_dict().items() if k != "rows"} | {"rows": len(e.rows)} for e in found])
        return
    click.echo(columns([[e.id, e.type, f"{len(e.rows):3d} rows", plain(e.title)] for e in found]))


def _row_line(row: Any) -> list[str]:
    from ..knowledge.rows import SUPERSEDED, format_value

    difference = "" if row.difference_pp is None else f"{row.difference_pp:+.2f} pp".replace("-", "−")
    over = f"over {format_value(row, row.baseline)} {row.baseline_kind}" if row.baseline is not None else ""
    label = " ".join(str(x) for x in (row.method, row.similarity, row.k) if x)
    status = {"current": "", SUPERSEDED: "superseded, not counted"}.get(row.status, row.status)
    return [row.ref, row.target, row.mode, label, format_value(row, row.value), over, difference, status]


@log.command("show")
@click.argument("entry_id", metavar="ID")
@json_option
@workspace_option
def show_entry(entry_id: str, as_json: bool, workspace_path: Path | None) -> None:
    """One entry. ID may be any unique beginning of its id, and may name a row: ID#r3."""
    from ..knowledge.base import load

    knowledge = load(space(workspace_path))
    prefix, _, row = entry_id.partition("#")
    entry = knowledge.entry(prefix)
    if row:
        ref = f"{entry.id}#{row}"
        if ref not in knowledge.by_row:
            raise UsageError(
                f"{entry.id} has no row {row!r}.",
                mend=f"It has {len(entry.rows)}: #r1 … #r{len(entry.rows)}.",
            )
        if as_json:
            emit(knowledge.by_row[ref].as_dict())
        else:
            click.echo(columns([_row_line(knowledge.by_row[ref])]))
        return
    if as_json:
        emit({**entry.as_dict(), "superseded_by": knowledge.superseders.get(entry.id, [])})
        return
    click.echo(f"{entry.id}\n{plain(entry.title)}  ({entry.type}, {entry.date})\n{plain(entry.summary)}")
    for new in knowledge.superseders.get(entry.id, []):
        click.echo(f"corrected by {new}")
    click.echo(f"\n{plain(entry.body)}")
    if entry.rows:
        click.echo("\nRows as read:\n" + columns([_row_line(r) for r in entry.rows]))


@log.command("add")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), required=False)
@click.option("--title", help="A few words.")
@click.option("--type", "kind", type=click.Choice(["Plan", "Observation", "Retrospective"]))
@click.option("--summary", help="One sentence for a reader outside the project.")
@click.option("--date", "day", type=DATE, help="Default: today.")
@click.option("--context", help="Task and base model. Default: from mu.toml.")
@click.option("--n", type=click.IntRange(min=1), help="Test items behind every row.")
@click.option("--row", "rows", multiple=True, metavar="CELLS",
              help='A result row: "target=sw-KE mode=ExcTar method=ties value=0.43 …". Repeat for more. '
              'Cells with spaces in quotes: sources="de-DE fr-FR".')  # fmt: skip
@click.option(
    "--run", "runs", multiple=True, metavar="RUN", help="Take the rows of this finished run; repeat."
)
@click.option(
    "--sweep", "sweeps", multiple=True, metavar="NAME", help="Take the rows of this sweep's runs; repeat."
)
@click.option("--matrix", "matrices", multiple=True, metavar="FILE.csv", type=click.Path(path_type=Path),
              help="Take the rows of this N×N matrix of mu nxn; repeat.")  # fmt: skip
@click.option(
    "--only",
    multiple=True,
    metavar="COLUMN=VALUE[,VALUE]",
    help="Of the rows of --run and --sweep, those that say so: method=ties,slerp",
)
@click.option(
    "--figure", metavar="'CAPTION=FILE.png'", help="A picture, copied beside the entry and shown in it."
)
@click.option(
    "--section", "sections", multiple=True, metavar="'HEADING: TEXT'", help="A section of the body."
)
@click.option("--question", "questions", multiple=True, help="An open question.")
@click.option(
    "--supersedes",
    multiple=True,
    metavar="ID[,ID]",
    help="The entries that this one corrects. Their rows stop counting.",
)
@click.option("--tags", help="Comma-separated.")
@click.option("--again", is_flag=True, help="Take rows of runs that are in the log already.")
@click.option("--dry-run", is_flag=True, help="Check and print the entry, write nothing.")
@json_option
@workspace_option
def add_entry(
    file: Path | None,
    title: str | None,
    kind: str | None,
    summary: str | None,
    day: str | None,
    context: str | None,
    n: int | None,
    rows: tuple[str, ...],
    runs: tuple[str, ...],
    sweeps: tuple[str, ...],
    matrices: tuple[Path, ...],
    only: tuple[str, ...],
    figure: str | None,
    sections: tuple[str, ...],
    questions: tuple[str, ...],
    supersedes: tuple[str, ...],
    tags: str | None,
    again: bool,
    dry_run: bool,
    as_json: bool,
    workspace_path: Path | None,
) -> None:
    """Add an entry: from FILE (- for standard input), from flags, or written in $EDITOR.

    The entry is checked and lands whole, or is refused with file and line and kept as a draft.

    \b
    mu log add entry.md
    mu log add --title "TIES on Welsh" --type Retrospective --summary "TIES loses." --n 2974 \\
      --row "target=cy-GB mode=ExcTar method=ties similarity=REAL k=5 value=0.4008 \\
             baseline_kind=best_single_source baseline=0.4445"
    mu log add --sweep lab-study --title "URIEL or REAL" --type Retrospective --summary "Neither is better."
    mu log add                       (opens $EDITOR)
    """
    from ..knowledge import writing

    where = workspace.writable(space(workspace_path))
    setting = str(where.settings["context"])
    if file is not None:
        text = sys.stdin.read() if str(file) == "-" else _read(file)
    elif title is None and not (rows or runs or sweeps or matrices):
        text = _edit(TEMPLATE.format(today=date.today().isoformat(), context=setting))
    else:
        if not (title and kind and summary):
            raise UsageError("an entry needs --title, --type and --summary.")
        draft = writing.Draft(
            title=title,
            type=kind,
            date=day or date.today().isoformat(),
            summary=summary,
            context=context or (setting if rows else ""),
            metric="accuracy" if rows else "",
            n=str(n or ""),
            supersedes=_whole_ids(where, supersedes),
            tags=tags or "",
            sections=tuple(_section(s) for s in sections)
            + ((("Open questions", "\n".join(f"- [open] {q}" for q in questions)),) if questions else ()),
        )
        if runs or sweeps or matrices or figure:
            _add_measured(
                where,
                draft,
                rows,
                runs,
                sweeps,
                matrices,
                only,
                figure,
                again=again,
                dry_run=dry_run,
                as_json=as_json,
            )
            return
        text = writing.render(draft, raw_table=_table(rows) if rows else "")
    given = file if file is not None and str(file) != "-" else None
    if dry_run:
        entry = writing.check_text(where.log, text, given)
        if as_json:
            emit({**entry.as_dict(), "path": None})  # it would get a name of its own
        else:
            click.echo(text)
        return
    entry = writing.add_text(where.log, text, beside=given.resolve().parent if given else None)
    if given and given.resolve().parent == (where.log / ".draft").resolve():
        given.unlink()
    _tell(where, entry, as_json)


def _tell(where: workspace.Workspace, entry: Entry, as_json: bool) -> None:
    if as_json:
        emit(entry.as_dict())
        return
    click.echo(entry.id)
    say(f"{len(entry.rows)} rows. Written to {where.display(entry.path)}. Next: mu lint")


def _add_measured(
    where: workspace.Workspace,
    draft: Draft,
    rows: tuple[str, ...],
    runs: tuple[str, ...],
    sweeps: tuple[str, ...],
    matrices: tuple[Path, ...],
    only: tuple[str, ...],
    figure: str | None,
    *,
    again: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Land an entry whose rows are those of runs, in a CSV beside it, or that has a figure."""
    from ..experiments.logged import gather, refuse_logged, rows_that_say
    from ..knowledge import writing

    if rows:
        raise UsageError(
            "give rows, or runs and figures, not both.", mend="Write the rows as an entry of their own."
        )
    measured, origin = gather(where, runs, sweeps, matrices, draft.context or None)
    for text in only:
        measured = rows_that_say(measured, text)
    if not again:
        refuse_logged(where, measured, draft.supersedes.split(", "))
    shown = None
    if figure:
        caption, sign, path = figure.partition("=")
        if not sign or not Path(path).is_file():
            raise UsageError(f"{figure!r} is not CAPTION=FILE.png.", mend="The file must be there.")
        shown = caption, Path(path)
    draft = replace(draft, origin=origin)
    if dry_run:
        text = writing.render(draft)
        count = f"{len(measured)} rows would lie in a CSV beside it."
        emit({"text": text, "rows": len(measured), "path": None}) if as_json else click.echo(text)
        say(count)
        return
    _tell(where, writing.add(where.log, draft, more_rows=measured, figure=shown), as_json)


def _whole_ids(where: workspace.Workspace, given: tuple[str, ...]) -> str:
    """The whole ids of the entries that the beginnings in `given` name, comma-separated."""
    from ..knowledge.base import load

    prefixes = [prefix.strip() for text in given for prefix in text.split(",") if prefix.strip()]
    if not prefixes:
        return ""
    knowledge = load(where)
    return ", ".join(dict.fromkeys(knowledge.entry(prefix).id for prefix in prefixes))


def _section(text: str) -> tuple[str, str]:
    heading, sign, body = text.partition(":")
    if not sign or not heading.strip():
        raise UsageError(f"--section says {text!r}.", mend="Write: 'Findings: what was found'")
    return heading.strip(), body.strip()


def _table(rows: tuple[str, ...]) -> str:
    """The Results table of `--row` flags: a column for every key that any row names."""
    from ..knowledge.markdown import format_table

    cells = []
    for text in rows:
        try:
            pairs = [part.partition("=") for part in shlex.split(text)]
        except ValueError as error:
            raise UsageError(f"--row says {text!r}: {error}.") from error
        if any(not sign for _, sign, _ in pairs):
            raise UsageError(
                f"--row says {text!r}.", mend="Write cells as column=value, spaces inside quotes."
            )
        cells.append({key: value for key, _, value in pairs})
    names = list(dict.fromkeys(key for row in cells for key in row))
    return format_table(names, [[row.get(name, "-") for name in names] for row in cells])


def _read(file: Path) -> str:
    from ..knowledge.yamltext import read_text

    if not file.is_file():
        raise UsageError(f"there is no file {file}.")
    return read_text(file)


def _edit(template: str) -> str:
    """What the user makes of `template` in $EDITOR."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise UsageError("no editor is set.", mend="Set $EDITOR, or give a file: mu log add FILE")
    with tempfile.NamedTemporaryFile(
        "w", suffix=".md", prefix="mu-entry-", delete=False, encoding="utf-8"
    ) as file:
        file.write(template)
    path = Path(file.name)
    try:
        code = subprocess.run([*shlex.split(editor), str(path)], check=False).returncode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"the editor {editor!r} cannot be started.") from error
    finally:
        path.unlink(missing_ok=True)
    if code != 0:
        raise MuError(f"the editor ended with exit code {code}; nothing was added.")
    if text == template:
        raise MuError("the entry was left as it was; nothing was added.")
    return text
