"""N×N matrices of a workspace: found, read, ordered and exported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from merginguriel import locales
from merginguriel.errors import UnavailableError, UsageError
from merginguriel.evaluation import heatmap, nxn
from merginguriel.evaluation.nxn import Matrix
from merginguriel.knowledge.base import Knowledge
from merginguriel.knowledge.parse.rows import MEASURES, ResultRow, distinct, metric_of
from merginguriel.metrics import registry as metrics
from merginguriel.similarity import uriel
from merginguriel.workspace import Workspace

from . import capabilities

LOG = "log"
RETRIEVAL = "retrieval"  # task of contexts whose rows are embedders and whose columns are pairs of languages
ORDERS = ("name", "family", "script", "similarity", "value")
# Context of a row of a study of compositions; the matrix of the study is retrieval/PAIR-BASE.
_STUDY = re.compile(r"retrieval-(?:mono|cross)-(.+)/(.+)")
_DIRECTION = re.compile(r"T\((\S+)\)")  # in the note of such a row
_ENDING = re.compile(r"(?:-s(\d+))?-(test|dev|train)(-bf16)?\Z")


class StoredMatrix(NamedTuple):
    """A matrix that can be read. split: `test`, `dev`, `s1-test`, `test-bf16`, or `log`, `s1-log` (test scores in the log)."""

    context: str
    split: str
    path: Path | None  # None: from the rows of the log

    @property
    def name(self) -> str:
        """Return context and split."""
        return f"{self.context} {self.split}"


def of_pairs(context: str) -> bool:
    """Return whether the columns of a context's matrices are pairs of languages instead of targets."""
    return context.startswith(f"{RETRIEVAL}/")


def stored(space: Workspace, knowledge: Knowledge) -> list[StoredMatrix]:
    """Return every matrix of the workspace: files in results/, test first, then single models and studies of embedders of the log."""
    logged = sorted({row.context for row in knowledge.rows if _single(row)})
    known = {
        context.replace("/", "-"): context
        for context in (*logged, *capabilities.contexts(space), str(space.settings["context"]))
    }
    found = []
    for path in sorted(space.results.glob("nxn-*.csv")):
        ending = _ENDING.search(path.stem)
        if ending:
            flat = path.stem[len("nxn-") : ending.start()]
            seed, split, bf16 = ending.groups()
            name = f"{f's{seed}-' if seed else ''}{split}{bf16 or ''}"
            # The file's name has no slash any more; a context of which nothing else is known has it first.
            found.append(StoredMatrix(known.get(flat, flat.replace("-", "/", 1)), name, path))
    found.sort(key=lambda one: (one.context, one.split != "test", one.split))
    studies = sorted({cell[:2] for row in knowledge.rows if (cell := _direction(row))})
    return [
        *found,
        *(StoredMatrix(context, LOG, None) for context in logged),
        *(StoredMatrix(*one, None) for one in studies),
    ]


def find(
    space: Workspace,
    knowledge: Knowledge,
    *,
    context: str | None = None,
    split: str | None = None,
    target: str | None = None,
) -> StoredMatrix:
    """Return the matrix of a context and split: of the workspace's context first, and one with the column `target`.

    Raises:
        UsageError: no matrix fits; the error lists those that exist.
    """
    there = stored(space, knowledge)
    fit = [one for one in there if context in (None, one.context) and split in (None, one.split)]
    if target and context is None:
        having = [one for one in fit if target in read(knowledge, one).targets]
        fit = having or fit
    usual = [one for one in fit if one.context == space.settings["context"]]
    if usual or fit:
        return (usual or fit)[0]
    asked = " ".join(word for word in (context, split) if word)
    names = ", ".join(one.name for one in there)
    raise UsageError(
        f"no N×N matrix{f' {asked}' if asked else ''}.",
        where=str(space.results) if not space.shipped else None,
        hint=f"Known: {names}" if names else "Make one with: mu nxn",
    )


def read(knowledge: Knowledge, one: StoredMatrix) -> Matrix:
    """Return the matrix. Raises MuError with file and line for a damaged file."""
    if one.path is not None:
        return nxn.load(one.path)
    if of_pairs(one.context):
        return _of_study(knowledge, one)
    metric = metric_of(knowledge.rows, one.context)
    rows = [
        row
        for row in distinct(knowledge.rows)
        if _single(row) and row.context == one.context and row.metric == metric
    ]
    if not rows:
        raise UsageError(f"no single model of {one.context} in the log.", hint="Make one with: mu nxn")
    # Oldest first: the last measurement counts.
    values = {(row.sources[0], row.target): row.value for row in rows}
    n = {row.target: row.n or 0 for row in rows}
    return nxn.of_cells(values, n, {}, sorted({s for s, _ in values}), sorted(n), metric=metric)


def _single(row: ResultRow) -> bool:
    return (
        row.method == "single"
        and row.status == "current"
        and row.metric not in MEASURES
        and len(row.sources) == 1
    )


def _direction(row: ResultRow) -> tuple[str, str, str] | None:
    """Return context and split of the matrix of a study's row, and the direction of search; None for other rows."""
    study = _STUDY.fullmatch(row.context) if row.status == "current" and row.metric not in MEASURES else None
    found = study and _DIRECTION.match(row.note)
    if not study or not found:
        return None
    return f"{RETRIEVAL}/{'-'.join(study.groups())}", f"s{row.seed}-{LOG}" if row.seed else LOG, found[1]


def _of_study(knowledge: Knowledge, one: StoredMatrix) -> Matrix:
    """Return the models of a study in the log, by direction of search."""
    values: dict[tuple[str, str], float] = {}
    n: dict[str, int] = {}
    metric = "ndcg_at_10"
    for row in distinct(knowledge.rows):
        cell = _direction(row)
        if cell and cell[:2] == (one.context, one.split):
            weight = dict(row.params).get("weight")
            model = (
                "base" if row.method == "pretrained" else f"{row.method} {weight}" if weight else row.method
            )
            values[model, cell[2]], n[cell[2]], metric = row.value, row.n or 0, row.metric
    return nxn.of_cells(values, n, {}, sorted({s for s, _ in values}), sorted(n), metric=metric)


def ordered(matrix: Matrix, by: str, target: str | None = None) -> Matrix:
    """Return the same matrix with rows and columns in another order.

    Args:
        by: one of ORDERS. name; family, of URIEL's lineages; script; similarity: to `target` by URIEL, the nearest
            first; value: rows by their score on `target` (without one, by their mean), columns by their mean, the
            best first. Cells without a value come last.
        target: needed for similarity.

    Raises:
        UsageError: an unknown order, or similarity without a target.
    """
    if by not in ORDERS:
        raise UsageError(f"unknown order {by!r}.", hint=f"Known: {', '.join(ORDERS)}.")
    if by == "similarity" and target is None:
        raise UsageError("order similarity needs a locale.", hint="Name it with --target.")
    names = sorted({*matrix.sources, *matrix.targets})
    if by == "value":
        first = matrix.scores if target is None else matrix.scores[:, [matrix.targets.index(target)]]
        sign = metrics.find(matrix.metric).sign
        rows = _falling(sign * _means(first, 1), matrix.sources)
        columns = _falling(sign * _means(matrix.scores, 0), matrix.targets)
    else:
        keys = _keys(by, names, target)
        rows = sorted(range(len(matrix.sources)), key=lambda i: keys[matrix.sources[i]])
        columns = sorted(range(len(matrix.targets)), key=lambda j: keys[matrix.targets[j]])
    return replace(
        matrix,
        sources=tuple(matrix.sources[i] for i in rows),
        targets=tuple(matrix.targets[j] for j in columns),
        scores=matrix.scores[np.ix_(rows, columns)],
        n=matrix.n[columns],
    )


def _keys(by: str, names: Sequence[str], target: str | None) -> dict[str, tuple[object, ...]]:
    known = locales.table()
    if by == "script":
        return {name: (known[name].script if name in known else "~", name) for name in names}
    if by == "family":
        lineage = lineages(names)
        # A language of no known family comes last: its lineage is empty.
        return {name: (not lineage[name], lineage[name], name) for name in names}
    if by == "similarity" and target is not None:
        near = similarities(target, names)
        return {name: (name not in near, -near.get(name, 0.0), name) for name in names}
    return {name: (name,) for name in names}


def lineages(names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return name → groups of its language in URIEL's family tree, the largest first.

    Sorted by these, related languages are neighbours.
    """
    rows, values = uriel.features("family")
    belongs = values > 0
    size = belongs.sum(axis=0)
    rank = np.empty(len(size), dtype=np.int64)
    rank[np.argsort(-size, kind="stable")] = np.arange(len(size))
    known = locales.table()
    found = {}
    for name in names:
        row = rows.get(known[name].language) if name in known else None
        found[name] = () if row is None else tuple(sorted(map(int, rank[belongs[row]])))
    return found


def similarities(target: str, names: Sequence[str]) -> dict[str, float]:
    """Return the URIEL similarity to the target of names that URIEL knows; empty if the target has none."""
    known = locales.table()
    placed = [name for name in dict.fromkeys([*names, target]) if name in known]
    lacking = set(uriel.lacking(placed))
    if target not in known or target in lacking:
        return {}
    return uriel.column(target, [name for name in names if name in known and name not in lacking])


def _means(values: np.ndarray, axis: int) -> np.ndarray:
    """Means of what was measured; NaN where nothing was."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def _falling(values: np.ndarray, names: Sequence[str]) -> list[int]:
    keys = [(bool(np.isnan(v)), 0.0 if np.isnan(v) else -float(v)) for v in values]
    return sorted(range(len(names)), key=lambda i: (*keys[i], names[i]))


def rank(matrix: Matrix, source: str, target: str) -> tuple[int, int]:
    """Return the rank of the source in the target's column, and how many were measured there; ties share a rank.

    Raises:
        UnavailableError: the pair was not measured.
    """
    column = metrics.find(matrix.metric).sign * matrix.scores[:, matrix.targets.index(target)]
    value = column[matrix.sources.index(source)]
    if np.isnan(value):
        raise UnavailableError(f"{source} was not scored on {target}.", hint="Measure it with: mu nxn")
    return int((column > value).sum()) + 1, int((~np.isnan(column)).sum())


def export(matrix: Matrix, path: Path) -> Path:
    """Write the matrix as a CSV, as `mu nxn` writes it, or as a PNG. Raises UsageError for another ending."""
    if path.suffix == ".png":
        heatmap.save_png(matrix, path)
    elif path.suffix == ".csv":
        nxn.save(path, matrix)
    else:
        raise UsageError(f"{path.name} must end in .csv or .png.")
    return path
