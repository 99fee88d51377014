"""Spearman's rank correlation of predicted and gold numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .registry import metric

if TYPE_CHECKING:
    import numpy as np


def correlation(statistics: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the correlation [d] of mid-ranks, of statistics [n, 2] with item i drawn counts[d, i] times.

    0 where one side is constant: such a draw orders nothing.
    """
    import numpy as np

    total = counts.sum(axis=-1, keepdims=True)
    ranks = []
    for side in statistics.T:
        _, index = np.unique(side, return_inverse=True)
        sizes = counts @ np.eye(index.max() + 1)[index]  # [d, different values]
        middle = np.cumsum(sizes, axis=-1) - sizes / 2 - total / 2
        ranks.append(middle[:, index])
    a, b = ranks
    product = (counts * a * b).sum(axis=-1)
    scale = np.sqrt((counts * a * a).sum(axis=-1) * (counts * b * b).sum(axis=-1))
    return np.clip(np.divide(product, scale, out=np.zeros_like(scale), where=scale > 0), -1, 1)


@metric(
    "spearman", doc="rank correlation with gold numbers", unit="correlation", reads="number",
    of_draws=correlation,
)  # fmt: skip
def spearman(gold: Sequence[str], predicted: Sequence[str]) -> np.ndarray:
    """Return float [n, 2]: gold and predicted number of each item."""
    import numpy as np

    return np.array([gold, predicted], dtype=float).T
