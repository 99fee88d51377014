"""`mu log import`: turn a one-file chronological log into entries."""

from __future__ import annotations

from pathlib import Path

import click

from merginguriel import workspace
from merginguriel.errors import FAILED, MuError
from merginguriel.text.numbers import count

from . import entry_input
from .common import emit, json_option, plain, say, space, workspace_option


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--context", help="Task and base model of its rows. Default: from mu.toml.")
@click.option("--dry-run", is_flag=True, help="Print what would be added, write nothing.")
@json_option
@workspace_option
def import_entries(
    file: Path, context: str | None, dry_run: bool, as_json: bool, workspace_path: Path | None
) -> int:
    """Add the entries of a log in one FILE, whose headings read `## 2026-01-20 – Retrospective: Title`.

    Tables of accuracies by target and method become result rows. All other text is kept as it was written, and what
    was not typed is listed. An entry that the log already has is skipped. Exit code 1 if any entry is refused.
    """
    from merginguriel.knowledge.base import load_readable
    from merginguriel.knowledge.log import acceptance, chronicle
    from merginguriel.knowledge.parse.rows import check_context
    from merginguriel.merging.registry import parameters

    where = space(workspace_path) if dry_run else workspace.writable(space(workspace_path))
    about = context or str(where.settings["context"])
    check_context(about)
    program = parameters()
    logged = {row.method for one in (where, workspace.shipped()) for row in load_readable(one).rows}
    found = chronicle.read(entry_input.read(file), file, context=about, methods={*program, *logged})
    told, refused = [], 0
    for one in found:
        name, error = "", None
        try:
            if dry_run:
                acceptance.preview(where, one.text, anyway=True, program=program)
            else:
                name = acceptance.accept(where, one.text, anyway=True, program=program).id
        except MuError as wrong:
            error = wrong.what
        skipped = error is not None and error.startswith("the log already has this entry")
        refused += error is not None and not skipped
        state = "skipped" if skipped else "refused" if error else "new" if dry_run else "added"
        told.append(
            {
                "id": name or None, "state": state, "date": one.date, "type": one.type, "title": one.title,
                "line": one.line, "rows": len(one.rows), "error": error, "kept": [kept.as_dict() for kept in one.kept],
            }
        )  # fmt: skip
        if not as_json:
            click.echo(
                plain(
                    f"{state:8} {name or f'{one.date} {one.type}: {one.title}'}  {count(len(one.rows), 'row')}"
                )
            )
            if error and not skipped:
                say(plain(f"{file}:{one.line}: {error}"))
            for kept in one.kept:
                say(plain(f"{file}:{kept.line}: {kept.what}"))
    if as_json:
        emit(told)
    else:
        say(f"{count(len(found) - refused, 'entry')}, {refused} refused. Next: mu lint")
    return FAILED if refused else 0
