"""Measures of how well models fit each other, and merge weights made of them.

A matrix of compatibility is [N, N], symmetric, in the order of its names; NaN where a measure has no value.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from merginguriel.errors import MuError, UnavailableError
from merginguriel.files import write_text


def cosines(gram: np.ndarray) -> np.ndarray:
    """Return cosines [N, N] from inner products [N, N]; NaN for a vector that is zero."""
    lengths = np.sqrt(np.maximum(np.diag(gram), 0))
    products = np.outer(lengths, lengths)
    return np.divide(gram, products, out=np.full(gram.shape, np.nan), where=products > 0)


def conflict(gram: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the share of `total` where signs are opposite, [N, N]; NaN where `total` is 0.

    Args:
        gram: Σ aⱼ bⱼ for each pair of vectors.
        total: Σ |aⱼ| |bⱼ| for each pair. With signs (−1, 0, 1) in place of entries, the result is a share of the
            entries that both vectors change.
    """
    return np.divide(total - gram, 2 * total, out=np.full(gram.shape, np.nan), where=total > 0)


def cka(one: np.ndarray, two: np.ndarray) -> float:
    """Return the linear centred kernel alignment of two representations, 0 to 1; NaN if one is constant.

    Kornblith et al. 2019, arXiv:1905.00414, section 3: invariant to rotation and to a common factor.

    Args:
        one: [n, p], a row per item.
        two: [n, q], of the same n items.
    """
    one = one - one.mean(axis=0, dtype=np.float64)
    two = two - two.mean(axis=0, dtype=np.float64)
    lengths = np.linalg.norm(one.T @ one) * np.linalg.norm(two.T @ two)
    return float(np.linalg.norm(one.T @ two) ** 2 / lengths) if lengths > 0 else float("nan")


def weights(
    column: Mapping[str, float],
    matrix: np.ndarray,
    names: Sequence[str],
    sources: Sequence[str] | None = None,
) -> dict[str, float]:
    """Return merge weights: similarity to the target × mean fit with the other sources, with the sum 1.

    Args:
        column: similarity of each source to the target.
        matrix: [N, N] in the order of `names`; below 0 counts as 0, and NaN is left out of the mean.
        names: the models of the matrix.
        sources: those to merge; None for all of `names`.

    Returns:
        source → weight; equal weights if all products are 0.

    Raises:
        UnavailableError: the matrix or the column lacks a source.
    """
    chosen = list(names if sources is None else sources)
    missing = [name for name in chosen if name not in names or name not in column]
    if missing:
        raise UnavailableError(
            f"no compatibility or similarity of {', '.join(missing)}.",
            hint="Measure it with: mu compat --source " + " --source ".join(chosen),
        )
    at = [list(names).index(name) for name in chosen]
    among = np.array(matrix, np.float64)[np.ix_(at, at)]
    np.fill_diagonal(among, np.nan)
    known = ~np.isnan(among)
    sums = np.where(known, np.maximum(among, 0), 0).sum(axis=1)
    # A source whose fit with the others is unknown is neither favoured nor punished.
    fit = np.divide(sums, known.sum(axis=1), out=np.ones(len(chosen)), where=known.any(axis=1))
    products = np.array([max(column[name], 0.0) for name in chosen]) * fit
    if products.sum() <= 0:
        return {name: 1 / len(chosen) for name in chosen}
    return dict(zip(chosen, (products / products.sum()).tolist(), strict=True))


def save(path: Path, names: Sequence[str], matrix: np.ndarray) -> None:
    """Write a square CSV: `source` and the names in the first line, then a line per name; NaN is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["source", *names])
    for name, row in zip(names, matrix, strict=True):
        writer.writerow([name, *("" if np.isnan(value) else repr(float(value)) for value in row)])
    write_text(path, text.getvalue())


def load(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Return names and matrix [N, N] of a file that `save` wrote.

    Raises:
        UnavailableError: no such file.
        MuError: it has another form, with file and line.
    """
    if not path.is_file():
        raise UnavailableError("no matrix of compatibility.", where=str(path), hint="Make it with: mu compat")
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MuError(f"this matrix cannot be read: {error}.", where=str(path)) from error
    names = tuple(lines[0][1:]) if lines else ()
    if not names or lines[0][0] != "source" or [row[:1] for row in lines[1:]] != [[name] for name in names]:
        raise MuError(
            "this is not a matrix of compatibility.",
            where=str(path),
            hint="Its first line is `source` and the names; then comes a line for each.",
        )
    matrix = np.full((len(names), len(names)), np.nan)
    for i, row in enumerate(lines[1:]):
        try:
            values = [float(cell) if cell else np.nan for cell in row[1:]]
        except ValueError:
            values = []
        if len(values) != len(names):
            raise MuError(f"expected {len(names)} numbers.", where=f"{path}:{i + 2}")
        matrix[i] = values
    return names, matrix
