"""Filter and balance of similarity matrices [sources, targets], and their CSV files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from merginguriel.errors import MuError, UnavailableError, UsageError
from merginguriel.files import csv_lines


def sparse(values: np.ndarray, k: int) -> np.ndarray:
    """Return the k largest entries of each column; the others become 0. Of equals, the first stay."""
    if k < 1:
        raise UsageError(f"k must be 1 or more, got {k}.")
    order = np.argsort(-values, axis=0, kind="stable")[:k]
    found = np.zeros_like(values)
    np.put_along_axis(found, order, np.take_along_axis(values, order, axis=0), axis=0)
    return found


@dataclass(frozen=True)
class Balanced:
    """A balanced matrix [sources, targets].

    steps  taken; error: largest distance of a row or column sum from its aim
    """

    values: np.ndarray
    steps: int
    error: float
    converged: bool


def sinkhorn(values: np.ndarray, *, steps: int = 100, tolerance: float = 1e-6) -> Balanced:
    """Scale rows and columns in turn until every column sums to 1 and every row to targets / sources.

    Sinkhorn & Knopp 1967. A source that is near to every target loses weight, one that is near to few gains it.

    Args:
        values: [sources, targets], 0 or more. A row or column of zeros stays as it is.
        steps: most scalings of rows and columns.
        tolerance: error at which the scaling ends.

    Returns:
        The balanced matrix. With zeros inside, a matrix may have no such scaling: then `converged` is False.
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


def balanced(
    values: np.ndarray, own: np.ndarray, nearest: int | None, steps: int | None, foreign: bool = True
) -> tuple[np.ndarray, str]:
    """Filter a matrix, then balance it.

    Args:
        values: [sources, targets].
        own: bool [sources, targets], whether the source is the target's own model. The filter ignores these.
        nearest: sources of each target that stay; None for all.
        steps: of Sinkhorn; None for no balancing. A single column has nothing to be balanced with.
        foreign: whether own models count as no source at all (ExcTar), or stay as they are (IncTar).

    Returns:
        The matrix, and how the balancing went, in words; empty without one.
    """
    found = np.where(own, 0.0, np.maximum(values, 0))
    if nearest:
        found = sparse(found, nearest)
    if not foreign:
        found = np.where(own, np.maximum(values, 0), found)
    if steps is None or values.shape[1] < 2:
        return found, ""
    result = sinkhorn(found, steps=steps)
    state = "converged" if result.converged else "had not converged"
    return result.values, f"Sinkhorn {state} after {result.steps} steps (error {result.error:.1e})."


SPARSE = ["source", "target", "similarity", "rank"]


def sparse_csv(values: np.ndarray, sources: Sequence[str], targets: Sequence[str], k: int) -> str:
    """Return a CSV of source, target, similarity, rank with the k nearest sources of each target, nearest first.

    values [sources, targets]; 0 means no source, and a locale is never a source of its own.
    """
    foreign = np.where(np.equal.outer(np.array(sources), np.array(targets)), 0.0, values)
    filtered = sparse(foreign, k)
    lines = [",".join(SPARSE)]
    for j, target in enumerate(targets):
        order = [i for i in np.argsort(-filtered[:, j], kind="stable") if filtered[i, j] > 0]
        lines += [f"{sources[i]},{target},{filtered[i, j]:.6f},{rank}" for rank, i in enumerate(order, 1)]
    return "\n".join(lines) + "\n"


def dense_csv(values: np.ndarray, sources: Sequence[str], targets: Sequence[str]) -> str:
    """Return a CSV with `source` and the targets in its first line, then a line per source."""
    lines = [",".join(["source", *targets])]
    lines += [
        ",".join([source, *(f"{value:.6f}" for value in row)])
        for source, row in zip(sources, values, strict=True)
    ]
    return "\n".join(lines) + "\n"


def read_table(path: Path, sources: Sequence[str], targets: Sequence[str]) -> np.ndarray:
    """Return [sources, targets] from a dense or sparse CSV; NaN where it has no value.

    Raises:
        UnavailableError: no such file, or it has no value for the first target.
        MuError: the file is in neither form, with file and line.
    """
    if not path.is_file():
        raise UnavailableError(
            "no such table of similarities.", where=str(path),
            hint="Write one with: mu similarity --matrix dense --out FILE",
        )  # fmt: skip
    head, *rows = csv_lines(path, "table") or [[]]
    if head[:1] != ["source"] or len(head) < 2:
        raise MuError(
            "this is not a table of similarities.",
            where=str(path),
            hint=f"Its first line is {','.join(SPARSE)} (sparse), or source and the targets (dense).",
        )
    found: dict[tuple[str, str], float] = {}
    for number, cells in enumerate(rows, 2):
        try:
            if head == SPARSE:
                source, target, value, _ = cells
                found[source, target] = float(value)
            else:
                values = map(float, cells[1:])
                found |= {(cells[0], target): value for target, value in zip(head[1:], values, strict=True)}
        except (ValueError, IndexError):
            raise MuError(f"expected {len(head)} cells with numbers.", where=f"{path}:{number}") from None
    if targets[0] not in {target for _, target in found}:
        raise UnavailableError(f"this table has no similarity to {targets[0]}.", where=str(path))
    return np.array([[found.get((s, t), np.nan) for t in targets] for s in sources])
