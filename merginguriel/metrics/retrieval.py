"""Metrics of a ranking of documents per query, on its first ten: NDCG, recall and reciprocal rank.

Documents of equal score share the mean of what their ranks give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .registry import metric

if TYPE_CHECKING:
    import numpy as np

DEPTH = 10


def ndcg(gains: np.ndarray, scores: np.ndarray) -> float:
    """Return NDCG@10 (Järvelin & Kekäläinen 2002, linear gain) of gains [d] and scores [d]; 0 where nothing is relevant."""
    import numpy as np

    discounts = 1 / np.log2(np.arange(len(gains)) + 2)
    discounts[DEPTH:] = 0
    best = float(np.sort(gains)[::-1] @ discounts)
    return float(gains @ by_rank(discounts, scores)) / best if best else 0.0


def recall(gains: np.ndarray, scores: np.ndarray) -> float:
    """Return the share of the relevant documents (gain above 0) among the first ten."""
    import numpy as np

    relevant = gains > 0
    first = (np.arange(len(gains)) < DEPTH).astype(float)
    return float(relevant @ by_rank(first, scores)) / int(relevant.sum()) if relevant.any() else 0.0


def reciprocal_rank(gains: np.ndarray, scores: np.ndarray) -> float:
    """Return 1 over the rank of the first relevant document, 0 beyond rank ten; among equal scores, its expected rank."""
    relevant = gains > 0
    if not relevant.any():
        return 0.0
    best = scores[relevant].max()
    tied = int((scores == best).sum())
    rank = int((scores > best).sum()) + (tied + 1) / (int((scores[relevant] == best).sum()) + 1)
    return 1 / rank if rank <= DEPTH else 0.0


def by_rank(values: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return [d], the value of each document's rank; for equal scores the mean over their ranks."""
    import numpy as np

    _, block, sizes = np.unique(-scores, return_inverse=True, return_counts=True)
    return (np.add.reduceat(values, np.cumsum(sizes) - sizes) / sizes)[block]


def per_query(
    measure: Callable[[np.ndarray, np.ndarray], float], gold: Sequence[str], predicted: Sequence[str]
) -> np.ndarray:
    """Return float [n] of a measure.

    Args:
        measure: Function of gains [d] and scores [d].
        gold: Relevance of each document of a query, 0 or more, separated by spaces.
        predicted: Scores of the same documents.
    """
    import numpy as np

    pairs = zip(gold, predicted, strict=True)
    return np.array([measure(*(np.array(side.split(), dtype=float) for side in pair)) for pair in pairs])


@metric("ndcg_at_10", doc="ranking of documents per query, first ten", unit="score", reads="scores")
def ndcg_at_10(gold: Sequence[str], predicted: Sequence[str]) -> np.ndarray:
    """Return float [n], the NDCG of each query."""
    return per_query(ndcg, gold, predicted)


@metric(
    "recall_at_10", doc="share of the relevant documents among the first ten", unit="score", reads="scores"
)
def recall_at_10(gold: Sequence[str], predicted: Sequence[str]) -> np.ndarray:
    """Return float [n], the recall of each query."""
    return per_query(recall, gold, predicted)


@metric("mrr_at_10", doc="reciprocal rank of the first relevant document", unit="score", reads="scores")
def mrr_at_10(gold: Sequence[str], predicted: Sequence[str]) -> np.ndarray:
    """Return float [n], the reciprocal rank of each query."""
    return per_query(reciprocal_rank, gold, predicted)
