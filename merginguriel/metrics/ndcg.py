"""NDCG@10: discounted gain of the ten documents ranked highest for a query, over the highest possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .base import metric

if TYPE_CHECKING:
    import numpy as np

DEPTH = 10


@metric("ndcg_at_10", doc="ranking of documents per query, first ten", unit="score", reads="scores")
def ndcg_at_10(gold: Sequence[str], predicted: Sequence[str]) -> np.ndarray:
    """Return float [n], the NDCG of each query (Järvelin & Kekäläinen 2002, linear gain); 0 where nothing is relevant.

    Args:
        gold: Relevance of each document of a query, 0 or more, separated by spaces.
        predicted: Scores of the same documents; documents of equal score share the mean gain of their ranks.
    """
    import numpy as np

    found = []
    for relevance, scores in zip(gold, predicted, strict=True):
        gains, given = (np.array(side.split(), dtype=float) for side in (relevance, scores))
        discounts = 1 / np.log2(np.arange(len(gains)) + 2)
        discounts[DEPTH:] = 0
        # Ranks of documents with equal scores: the mean discount over the block that they fill.
        _, block, sizes = np.unique(-given, return_inverse=True, return_counts=True)
        means = np.add.reduceat(discounts, np.cumsum(sizes) - sizes) / sizes
        best = float(np.sort(gains)[::-1] @ discounts)
        found.append(float(gains @ means[block]) / best if best else 0.0)
    return np.array(found)
