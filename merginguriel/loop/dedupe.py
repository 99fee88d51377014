"""Rows of runs and N×N matrices for an entry, and which of them the log has already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from merginguriel.errors import UsageError
from merginguriel.knowledge import base
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.rows import SUPERSEDED, ResultRow
from merginguriel.workspace import Workspace


def gather(
    space: Workspace,
    runs: Sequence[str],
    sweeps: Sequence[str],
    matrices: Sequence[Path],
    context: str | None = None,
) -> tuple[list[ResultRow], str]:
    """Return the rows of runs, of the runs of sweeps and of N×N matrices, and the `origin` of an entry with them.

    Raises:
        UsageError: A run has no result, or none of them measured anything.
    """
    from merginguriel.report import scored_arms
    from merginguriel.runs.run_folders import run_folders

    folders = run_folders(space, runs, sweeps) if runs or sweeps else []
    rows = scored_arms.rows_of(folders)
    if folders and not rows:
        named = ", ".join(folder.name for folder in folders[:3])
        raise UsageError(
            f"nothing was measured for the log: {named}.",
            hint="Score what was trained: mu nxn, or of an embedder mu embed eval FOLDER PAIRS.",
        )
    rows += [row for path in matrices for row in matrix_rows(space, path, context)]
    origin = [*(f"run {one}" for one in runs), *(f"sweep {one}" for one in sweeps)]
    return rows, "; ".join([*origin, *(f"matrix {path.name}" for path in matrices)])


def refuse_logged(space: Workspace, rows: Sequence[ResultRow], supersedes: Sequence[str] = ()) -> None:
    """Refuse rows that the log has already. Other rows of the same run pass, so that a run may have several entries.

    Args:
        rows: Of a run or a matrix.
        supersedes: Ids of the entries that the new one corrects; their rows do not count.

    Raises:
        UsageError: A row is in the log; the error names the entry.
    """
    there = {
        key_of(row): row.ref.partition("#")[0]
        for row in read(space).rows
        if row.status != SUPERSEDED and row.ref.partition("#")[0] not in supersedes
    }
    again = [row for row in rows if key_of(row) in there]
    if not again:
        return
    entries = list(dict.fromkeys(there[key_of(row)] for row in again))
    named = list(dict.fromkeys(row.run or "a matrix" for row in again))
    more = f" and {len(named) - 3} more runs" if len(named) > 3 else ""
    raise UsageError(
        f"{len(again)} of these {len(rows)} rows are in the log already, from {', '.join(named[:3])}{more}.",
        where=", ".join(entries),
        hint="A repeated measurement counts once. Choose other rows with --only, correct that entry with\n"
        f"--supersedes {entries[0]}, or write them again with --again.",
    )


def matrix_rows(space: Workspace, path: Path, context: str | None = None) -> list[ResultRow]:
    """Return the rows of an N×N matrix on test data, each a single model on a target.

    Args:
        path: A file that `mu nxn` wrote.
        context: Of the rows; None for the workspace's.

    Raises:
        UsageError: No such file, or a matrix on other data.
    """
    from merginguriel.evaluation.nxn import load
    from merginguriel.study.results import matrix_rows as rows_of

    if not path.is_file():
        raise UsageError("matrix not found.", where=str(path), hint="Make it with: mu nxn")
    if path.stem.removesuffix("-bf16").endswith(("-dev", "-train")):
        raise UsageError(
            "not a matrix on test data, which the log needs.",
            where=str(path),
            hint="Make it with: mu nxn --split test",
        )
    return rows_of(load(path), context or str(space.settings["context"]), "")


def unlogged(knowledge: Knowledge, context: str, target: str) -> tuple[Path, int] | None:
    """Return the N×N matrix of a context, and how many of its models on a target have no row in the log.

    None without a matrix, or where every model has a row. Only the file's first two columns are read.
    """
    path = knowledge.space.matrix(context)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
    except (OSError, ValueError):
        return None
    scored = {
        source for source, _, rest in (line.partition(",") for line in lines) if rest.startswith(f"{target},")
    }
    there = {
        row.sources[0]
        for row in knowledge.rows
        if row.target == target and row.method == "single" and row.context == context and row.sources
    }
    return (path, len(scored - there)) if scored - there else None


def read(space: Workspace) -> Knowledge:
    """Load the log; a workspace without skills is accepted."""
    return base.load_readable(space)


def key_of(row: ResultRow) -> tuple[object, ...]:
    """Return what two rows share that repeat each other: run, measurement and kind of baseline."""
    return row.run or "", row.measurement(), row.baseline_kind
