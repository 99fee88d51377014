"""Does the log hold this already? Rows of runs that an entry has, and N×N matrices that none has."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UsageError
from ..knowledge import base
from ..knowledge.base import Knowledge
from ..knowledge.entries import entry_paths
from ..knowledge.rows import SUPERSEDED, ResultRow
from ..knowledge.skills import skill_paths
from ..knowledge.yamltext import read_text
from ..workspace import Workspace


def refuse_logged(space: Workspace, rows: Sequence[ResultRow], supersedes: Sequence[str] = ()) -> None:
    """Raises UsageError if a row of a run is in the log already, naming the entry.

    supersedes  ids of the entries that the new one corrects: their rows are about to stop counting
    Other rows of the same run are let pass, so that its methods may be told in entries of their own.
    """
    there = {
        key_of(row): row.ref.partition("#")[0]
        for row in read(space).rows
        if row.run and row.status != SUPERSEDED and row.ref.partition("#")[0] not in supersedes
    }
    again = [row for row in rows if key_of(row) in there]
    if not again:
        return
    entries = list(dict.fromkeys(there[key_of(row)] for row in again))
    named = list(dict.fromkeys(str(row.run) for row in again))
    more = f" and {len(named) - 3} more runs" if len(named) > 3 else ""
    raise UsageError(
        f"{len(again)} of these {len(rows)} rows are in the log already, from {', '.join(named[:3])}{more}.",
        where=", ".join(entries),
        mend="One measurement told twice counts once. Take other rows with --only, correct that entry with\n"
        f"--supersedes {entries[0]}, or write them again with --again.",
    )


def read(space: Workspace) -> Knowledge:
    """The log alone: a workspace whose skills are gone can be written into all the same."""
    if skill_paths(space.skills):
        return base.load(space)
    paths = entry_paths(space.log)
    return base.parsed(space, [], paths, {path: read_text(path) for path in paths}, None)


def key_of(row: ResultRow) -> tuple[object, ...]:
    return row.run, row.measurement(), row.baseline_kind
