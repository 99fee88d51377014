"""Does the log hold this already? Rows of runs that an entry has, and N×N matrices that none has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from merginguriel.errors import UsageError
from merginguriel.knowledge import base
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.entries import entry_paths
from merginguriel.knowledge.parse.rows import SUPERSEDED, ResultRow
from merginguriel.knowledge.parse.skills import skill_paths
from merginguriel.knowledge.parse.yaml_lines import read_text
from merginguriel.workspace import Workspace


def gather(
    space: Workspace,
    runs: Sequence[str],
    sweeps: Sequence[str],
    matrices: Sequence[Path],
    context: str | None = None,
) -> tuple[list[ResultRow], str]:
    """The rows of runs, of sweeps' runs and of N×N matrices, and what an entry says of where they come from."""
    from merginguriel.report import loading

    names = [*runs, *(name for sweep in sweeps for name in loading.sweep_runs(space, sweep))]
    rows = loading.rows_of(loading.run_folders(space, names)) if names else []
    rows += [row for path in matrices for row in matrix_rows(space, path, context)]
    origin = [*(f"run {one}" for one in runs), *(f"sweep {one}" for one in sweeps)]
    return rows, "; ".join([*origin, *(f"matrix {path.name}" for path in matrices)])


def refuse_logged(space: Workspace, rows: Sequence[ResultRow], supersedes: Sequence[str] = ()) -> None:
    """Raises UsageError if a row of a run or a matrix is in the log already, naming the entry.

    supersedes  ids of the entries that the new one corrects: their rows are about to stop counting
    Other rows of the same run are let pass, so that its methods may be told in entries of their own.
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
        mend="One measurement told twice counts once. Take other rows with --only, correct that entry with\n"
        f"--supersedes {entries[0]}, or write them again with --again.",
    )


def matrix_rows(space: Workspace, path: Path, context: str | None = None) -> list[ResultRow]:
    """The rows of an N×N matrix on test data, a file as `mu nxn` writes it, each a single model on a target.

    context  None for the workspace's. Raises UsageError for a matrix on other data
    """
    from merginguriel.evaluation.nxn import load
    from merginguriel.study.results import matrix_rows as rows_of

    if not path.is_file():
        raise UsageError("there is no such matrix.", where=str(path), mend="Make it with: mu nxn")
    if path.stem.removesuffix("-bf16").endswith(("-dev", "-train")):
        raise UsageError(
            "the log holds what was measured on test data.",
            where=str(path),
            mend="Make it with: mu nxn --split test",
        )
    return rows_of(load(path), context or str(space.settings["context"]), "")


def unlogged(knowledge: Knowledge, context: str, target: str) -> tuple[Path, int] | None:
    """The workspace's N×N matrix of this context, and how many of its models on the target the log has no row of.

    None where there is no matrix, or none such in it. Reads the file's first two columns, and compares no figure.
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
    """The log alone: a workspace whose skills are gone can be written into all the same."""
    if skill_paths(space.skills):
        return base.load(space)
    paths = entry_paths(space.log)
    return base.parsed(space, [], paths, {path: read_text(path) for path in paths}, None)


def key_of(row: ResultRow) -> tuple[object, ...]:
    return row.run or "", row.measurement(), row.baseline_kind
