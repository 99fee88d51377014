"""Measures of how well models fit each other, and merge weights made of them.

A matrix of compatibility is [N, N], symmetric, in the order of its names; NaN where a measure has no value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from merginguriel.errors import UnavailableError
from merginguriel.files import csv_text, write_text


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


def weights(column: Mapping[str, float], matrix: np.ndarray, sources: Sequence[str]) -> dict[str, float]:
    """Return merge weights: similarity to the target × mean fit with the other sources, with the sum 1.

    Args:
        column: similarity of each source to the target.
        matrix: [k, k], fit between the sources; below 0 counts as 0, and NaN is left out of the mean.

    Returns:
        source → weight; equal weights if all products are 0.

    Raises:
        UnavailableError: the column lacks a source.
    """
    missing = [name for name in sources if name not in column]
    if missing:
        raise UnavailableError(f"no similarity of {', '.join(missing)}.")
    among = np.array(matrix, np.float64)
    np.fill_diagonal(among, np.nan)
    known = ~np.isnan(among)
    sums = np.where(known, np.maximum(among, 0), 0).sum(axis=1)
    # A source whose fit with the others is unknown is neither favoured nor punished.
    fit = np.divide(sums, known.sum(axis=1), out=np.ones(len(sources)), where=known.any(axis=1))
    products = np.array([max(column[name], 0.0) for name in sources]) * fit
    if products.sum() <= 0:
        return dict.fromkeys(sources, 1 / len(sources))
    return dict(zip(sources, (products / products.sum()).tolist(), strict=True))


def save(path: Path, names: Sequence[str], matrix: np.ndarray) -> None:
    """Write a square CSV: `source` and the names in the first line, then a line per name; NaN is an empty cell."""
    rows = zip(names, matrix, strict=True)
    cells = ([name, *("" if np.isnan(value) else repr(float(value)) for value in row)] for name, row in rows)
    write_text(path, csv_text([["source", *names], *cells]))
