"""From similarities to sources: which k, and how much of each? Steps that can be combined.

A column holds the similarity of each source to one target; a matrix has sources in rows and targets in columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from merginguriel.errors import UsageError


def sparse(values: np.ndarray, k: int) -> np.ndarray:
    """The k largest entries of each column [sources, targets]; the others become 0. Of equals, the first stay."""
    if k < 1:
        raise UsageError(f"k is {k}.", mend="It is 1 or more.")
    order = np.argsort(-values, axis=0, kind="stable")[:k]
    kept = np.zeros_like(values)
    np.put_along_axis(kept, order, np.take_along_axis(values, order, axis=0), axis=0)
    return kept


@dataclass(frozen=True)
class Balanced:
    """values [sources, targets]; steps taken; error: largest distance of a row or column sum from its aim."""

    values: np.ndarray
    steps: int
    error: float
    converged: bool


def sinkhorn(values: np.ndarray, *, steps: int = 100, tolerance: float = 1e-6) -> Balanced:
    """Scale rows and columns in turn until every column sums to 1 and every row to targets / sources.

    Sinkhorn & Knopp 1967. A source that is near to every target loses weight, one that is near to few gains it.
    values [sources, targets] non-negative; a row or column of zeros stays as it is. With zeros inside, a matrix may
    have no such scaling: then `converged` is False.
    """
    if (values < 0).any() or not np.isfinite(values).all():
        raise UsageError("similarities for Sinkhorn must be 0 or more.")
    scaled = values.astype(np.float64)
    rows, columns = scaled.any(axis=1), scaled.any(axis=0)
    aim = columns.sum() / max(rows.sum(), 1)
    error, taken = np.inf, 0
    while taken < steps and error >= tolerance:
        sums = scaled.sum(axis=1, keepdims=True)
        scaled = scaled * (aim / np.where(sums > 0, sums, 1))
        sums = scaled.sum(axis=0, keepdims=True)
        scaled = scaled / np.where(sums > 0, sums, 1)
        error = float(np.abs(scaled.sum(axis=1) - aim)[rows].max(initial=0))
        taken += 1
    return Balanced(scaled, taken, error, error < tolerance)


SPARSE = ["source", "target", "similarity", "rank"]


def sparse_csv(values: np.ndarray, sources: Sequence[str], targets: Sequence[str], k: int) -> str:
    """A CSV of source, target, similarity, rank with the k nearest sources of each target, the nearest first.

    values [sources, targets]; one that is 0 is no source, and a locale is none of its own.
    """
    foreign = np.where(np.equal.outer(np.array(sources), np.array(targets)), 0.0, values)
    kept = sparse(foreign, k)
    lines = [",".join(SPARSE)]
    for j, target in enumerate(targets):
        order = [i for i in np.argsort(-kept[:, j], kind="stable") if kept[i, j] > 0]
        lines += [f"{sources[i]},{target},{kept[i, j]:.6f},{rank}" for rank, i in enumerate(order, 1)]
    return "\n".join(lines) + "\n"


def dense_csv(values: np.ndarray, sources: Sequence[str], targets: Sequence[str]) -> str:
    """A CSV with `source` and the targets in the first line, then a line per source with its similarity to each."""
    lines = [",".join(["source", *targets])]
    lines += [
        ",".join([source, *(f"{value:.6f}" for value in row)])
        for source, row in zip(sources, values, strict=True)
    ]
    return "\n".join(lines) + "\n"
