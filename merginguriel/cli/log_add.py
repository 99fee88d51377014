"""`mu log add` and `mu log drafts`: write entries, and list those that were refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from merginguriel import workspace
from merginguriel.errors import MuError, UsageError
from merginguriel.text.numbers import count

from . import entry_input
from .common import DATE, columns, emit, json_option, plain, say, space, workspace_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from merginguriel.knowledge.base import Knowledge
    from merginguriel.knowledge.log.draft_text import Draft
    from merginguriel.knowledge.parse.expectations import Expectation
    from merginguriel.knowledge.parse.rows import ResultRow
    from merginguriel.workspace import Workspace

CONTENT = (
    "title", "kind", "summary", "day", "context", "n", "rows", "expected", "runs", "sweeps", "matrices", "only", "again", "figure", "sections",
    "questions", "narrows", "closes", "answers", "links", "supersedes", "tags",
)  # fmt: skip
FRONT_FLAGS = (
    "title", "summary", "rows", "expected", "figure", "sections", "questions", "narrows", "closes", "answers", "links",
    "supersedes", "tags",
)  # fmt: skip  # typed by a person: kept if refused


@click.command("add")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), required=False)
@click.option("--title", help="A few words.")
@click.option(
    "--type", "kind", type=click.Choice(["Plan", "Observation", "Retrospective", "Troubleshooting"])
)
@click.option("--summary", help="One sentence for a reader outside the project.")
@click.option("--date", "day", type=DATE, help="Default: today.")
@click.option("--context", help="Task and base model. Default: from mu.toml.")
@click.option("--n", type=click.IntRange(min=1), help="Test items behind every row.")
@click.option("--row", "rows", multiple=True, metavar="CELLS",
              help='A result row: "target=sw-KE mode=ExcTar method=ties value=0.43 …". Repeat for more. '
              'Cells with spaces in quotes: sources="de-DE fr-FR".')  # fmt: skip
@click.option("--expect", "expected", multiple=True, metavar="CELLS",
              help='What a plan expects: "target=sw-KE method=ties similarity=REAL k=5 low_pp=-1 high_pp=2".')  # fmt: skip
@click.option("--from-run", "--run", "runs", multiple=True, metavar="RUN",
              help="Take rows, and missing title, summary and text, from this finished run; repeatable.")  # fmt: skip
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="NAME",
    help="Take the rows of all runs of this sweep; repeatable.",
)
@click.option("--matrix", "matrices", multiple=True, metavar="FILE.csv", type=click.Path(path_type=Path),
              help="Take the rows of this N×N matrix of mu nxn; repeatable.")  # fmt: skip
@click.option("--only", multiple=True, metavar="COLUMN=VALUE[,VALUE]",
              help="Only these rows of runs and sweeps: method=ties,slerp")  # fmt: skip
@click.option(
    "--figure", metavar="'CAPTION=FILE.png'", help="A picture, copied beside the entry and shown in it."
)
@click.option(
    "--section", "sections", multiple=True, metavar="'HEADING: TEXT'", help="A section of the body."
)
@click.option("--question", "questions", multiple=True, help="An open question.")
@click.option(
    "--narrows",
    multiple=True,
    metavar="'ID#q1: WHY'",
    help="A question of another entry that this one narrows.",
)
@click.option(
    "--closes",
    multiple=True,
    metavar="'ID#q1: WHY'",
    help="A question of another entry that this one closes.",
)
@click.option(
    "--answers", multiple=True, metavar="ID[,ID]", help="The plans that this entry is the retrospective of."
)
@click.option("--links", multiple=True, metavar="ID[,ID]", help="The entries that this one follows from.")
@click.option("--supersedes", multiple=True, metavar="ID[,ID]",
              help="The entries that this one corrects. Their rows stop counting.")  # fmt: skip
@click.option("--tags", help="Comma-separated.")
@click.option("--repository", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False),
              help="Git repository of a range commits=A..B. Default: the workspace's, or the program's.")  # fmt: skip
@click.option("--again", is_flag=True, help="Take rows even if the log already has them.")
@click.option("--draft", metavar="ID", help="Continue a draft; see: mu log drafts")
@click.option("--edit", is_flag=True, help="Open the entry in $EDITOR, and ask before adding it.")
@click.option("--yes", is_flag=True, help="Add the edited entry without asking.")
@click.option("--anyway", is_flag=True, help="Accept a plan that repeats what was tried or states no expectation, a name that resembles a known one, and a mark that takes back many rows.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Check and print the entry, write nothing.")
@json_option
@workspace_option
def add_entry(
    file: Path | None,
    draft: str | None,
    edit: bool,
    yes: bool,
    anyway: bool,
    repository: Path | None,
    dry_run: bool,
    as_json: bool,
    workspace_path: Path | None,
    **given: Any,
) -> None:
    """Add an entry: from FILE (- for standard input; Markdown or JSON), from flags, from runs, or written in $EDITOR.

    The entry is checked first. An invalid one is saved as a draft, and the error names file and line.

    \b
    mu log add entry.md
    mu log add --title "TIES on Welsh" --type Retrospective --summary "TIES loses." --n 2974 \\
      --row "target=cy-GB mode=ExcTar method=ties similarity=REAL k=5 value=0.4008 \\
             baseline_kind=best_single_source baseline=0.4445"
    mu log add --from-run RUN --edit
    mu log add - < entry.json        (its form: mu schema entry)
    mu log add                       (opens $EDITOR)
    """
    from merginguriel.knowledge.log import acceptance, append, drafts, entry_text
    from merginguriel.merging.registry import parameters

    where = workspace.writable(space(workspace_path))
    text, beside, kept, note = "", None, None, ""
    flags = [name for name in CONTENT if given[name]]
    if (file or draft) and flags:
        raise UsageError(
            "a file or a draft cannot be combined with flags that change the entry.",
            hint="Leave out one of them.",
        )
    if draft:
        kept = drafts.find(where.log, draft)
        text, beside = entry_input.read(kept), kept.parent
    elif file is not None:
        text = entry_input.standard_input(where.log) if str(file) == "-" else entry_input.read(file)
        if str(file) != "-":
            beside = file.resolve().parent
            kept = file if beside == drafts.folder(where.log).resolve() else None
    elif flags and flags != ["kind"]:
        try:
            text, note = _from_flags(where, given, dry_run)
        except MuError as error:
            if any(given[name] for name in FRONT_FLAGS) and not dry_run:
                append.refuse(where.log, entry_text.draft_text(where, given), error)
            raise
        beside = (
            drafts.folder(where.log)
            if any(given[name] for name in ("runs", "sweeps", "matrices", "figure"))
            else None
        )
    else:
        edit = True
        text = entry_text.template(given["kind"], str(where.settings["context"]))
    again = kept
    if edit:
        if text.lstrip().startswith("{"):
            text, again = acceptance.source_of(where, text).markdown, None
        text = entry_input.edited(where.log, text, again, yes=yes, asked=not flags and not (file or draft))
    if dry_run:
        if note:
            emit({"text": text, "rows": int(note), "path": None}) if as_json else click.echo(plain(text))
            say(f"{count(int(note), 'row')} would be written to a CSV beside it.")
            return
        named = file if file is not None and str(file) != "-" else kept
        entry, text = acceptance.preview(
            where, text, file=named, anyway=anyway, program=parameters(), repository=repository, tell=_note,
            verdicts=_verdicts, ordered=_ordered,
        )  # fmt: skip
        if as_json:
            emit({**entry.as_dict(), "path": None})  # it would get a name of its own
        else:
            click.echo(plain(text))
        return
    entry = acceptance.accept(
        where, text, beside=beside, draft=again, anyway=anyway, program=parameters(), repository=repository, tell=_note,
        verdicts=_verdicts, ordered=_ordered,
    )  # fmt: skip
    if kept:
        kept.unlink(missing_ok=True)
    if as_json:
        emit(entry.as_dict())
        return
    click.echo(entry.id)
    say(f"{count(len(entry.rows), 'row')}. Written to {where.display(entry.path)}. Next: mu lint")


def _verdicts(before: Knowledge, after: Knowledge, rows: tuple[ResultRow, ...]) -> int:
    from merginguriel.loop.advise_request import (
        changed_verdicts,  # slow to import, and needed for few entries
    )

    return changed_verdicts(before, after, rows)


def _ordered(knowledge: Knowledge, expected: Expectation) -> bool:
    from merginguriel.loop.advise_request import ordered_pilot

    return ordered_pilot(knowledge, expected)


def _note(text: str) -> None:
    say(plain(f"note: {text}"))


def _from_flags(where: Workspace, given: dict[str, Any], dry_run: bool) -> tuple[str, str]:
    """Return the text of an entry; for a dry run over runs, also how many rows its CSV would have, else ""."""
    from merginguriel.knowledge.log import append, draft_text, entry_text

    measured, begun = _measured(where, given)
    if not (given["title"] and given["kind"] and given["summary"]):
        raise UsageError("an entry needs --title, --type and --summary.")
    answered = dict.fromkeys([*entry_text.full_ids(where, given["answers"]), *begun.answers.split(", ")])
    draft = replace(
        entry_text.draft_of(where, given, _sections(where, given, begun.sections)),
        supersedes=", ".join(entry_text.full_ids(where, given["supersedes"])),
        links=", ".join(entry_text.full_ids(where, given["links"])),
        answers=", ".join(filter(None, answered)),
        origin=begun.origin,
    )
    if not (measured or given["figure"]):
        return draft_text.render(
            draft, raw_table=entry_text.table(given["rows"]) if given["rows"] else ""
        ), ""
    if given["rows"]:
        raise UsageError(
            "rows cannot be combined with runs or figures.", hint="Add the rows as a separate entry."
        )
    shown = None
    if given["figure"]:
        from merginguriel.loop.row_filter import picture

        shown = picture(given["figure"])
    if dry_run:
        return draft_text.render(draft), str(len(measured))
    return append.staged(where.log, draft, measured, shown), ""


def _measured(where: Workspace, given: dict[str, Any]) -> tuple[list[ResultRow], Draft]:
    """Return the rows of the named runs and matrices, and the draft with what they fill in where no flag does.

    Title, type and summary of runs are written into `given`.

    Raises:
        UsageError: For rows that the log already has.
    """
    from merginguriel.knowledge.log import draft_text, entry_text

    if not (given["runs"] or given["sweeps"] or given["matrices"]):
        return [], draft_text.Draft("", "", "", "")
    from merginguriel.loop import entry_draft, row_filter
    from merginguriel.loop.dedupe import gather, refuse_logged

    rows, origin = gather(where, given["runs"], given["sweeps"], given["matrices"], given["context"])
    for text in given["only"]:
        rows = row_filter.only(rows, text)
    if not given["again"]:
        refuse_logged(where, rows, entry_text.full_ids(where, given["supersedes"]))
    if given["matrices"]:
        return rows, draft_text.Draft("", "", "", "", origin=origin)
    begun = entry_draft.begin(where, rows, given["kind"])
    given["title"] = given["title"] or begun.title
    given["kind"] = begun.type
    given["summary"] = given["summary"] or begun.summary
    return rows, replace(begun, origin=origin)


def _sections(
    where: Workspace, given: dict[str, Any], measured: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    from merginguriel.knowledge.log import entry_text

    own = [entry_text.section(text) for text in given["sections"]]
    given_headings = {heading for heading, _ in own}
    found = [pair for pair in measured if pair[0] not in given_headings] + own
    if given["expected"]:
        found.insert(0, ("Expected", entry_text.expected(given["expected"])))
    lines = [f"- [open] {one}" for one in given["questions"]]
    for verb in ("narrows", "closes"):
        lines += [f"- [{verb} {ref}] {why}" for ref, why in entry_text.settled(where, given[verb], verb)]
    if lines:
        found.append(("Open questions", "\n".join(lines)))
    return found


@click.command("drafts")
@click.option("--discard", metavar="ID", help="Remove this draft.")
@json_option
@workspace_option
def list_drafts(discard: str | None, as_json: bool, workspace_path: Path | None) -> None:
    """List drafts of invalid entries, newest first, with their errors. Continue one: mu log add --draft ID."""
    from merginguriel.knowledge.log import drafts
    from merginguriel.merging.registry import parameters

    where = workspace.writable(space(workspace_path))
    if discard:
        path = drafts.find(where.log, discard)
        drafts.discard(where.log, path)
        if as_json:
            emit({"discarded": path.stem})
        else:
            click.echo(path.stem)
        return
    found = [
        replace(one, problem=one.problem.replace(f"{where.root}/", ""))
        for one in drafts.listed(where, parameters())
    ]
    if as_json:
        emit([one.as_dict() for one in found])
        return
    if found:
        table = [
            [one.id, one.saved, plain(one.title), plain(one.problem or "no problem found")] for one in found
        ]
        click.echo(columns(table))
    say(
        f"{count(len(found), 'draft')}. Continue one: mu log add --draft ID --edit" if found else "No drafts."
    )
