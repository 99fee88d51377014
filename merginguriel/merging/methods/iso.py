"""Isotropic merging: the merged task vector with equal singular values."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method

from .tsv import NOTHING, leading, orthogonal

ALPHA = Param(1.0, doc="factor on the flattened sum of the task vectors; the paper's α")


@method(
    "iso_c",
    paper="Marczak et al. 2025, arXiv:2502.04959, section 4.1 (Iso-C)",
    matrices=True,
    heads="average",
    alpha=ALPHA,
)
def iso_c(base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, alpha: float) -> np.ndarray:
    """Give all singular values of the sum of the task vectors their mean: a spectrum without dominant directions.

    The sum is k Σ wᵢδᵢ. The paper selects α on validation data; the default leaves its equation unscaled. Directions
    in which nothing changes keep a singular value of 0 and do not count in the mean; the paper has no such case. Embeddings, biases and norms get the weighted mean.

    base     [m, n] pretrained weights, float32
    deltas   [k, m, n] task vectors
    weights  [k], non-negative, sum 1
    returns  [m, n]
    """
    left, sizes, right = leading(mean(deltas, weights), min(base.shape), least(deltas, weights))
    return flattened(base, left, sizes, right, alpha * len(deltas))


@method(
    "iso_cts",
    paper="Marczak et al. 2025, arXiv:2502.04959, section 4.2 (Iso-CTS)",
    matrices=True,
    heads="average",
    common=Param(
        0.8, low=0, high=1, doc="share of the directions that are those of the sum of the task vectors"
    ),
    alpha=ALPHA,
)
def iso_cts(
    base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, common: float, alpha: float
) -> np.ndarray:
    """As iso_c, but the least directions of the sum give way to directions of single sources.

    Of the r directions the share `common` (0.8, as in section 4.2) is the sum's own; the rest is shared out evenly among the sources, each
    with the leading directions of what the common ones leave of it. All are made orthogonal and get the mean of
    their singular values. Embeddings, biases and norms get the weighted mean.

    Arguments as for `iso_c`.
    """
    rank = min(base.shape)
    own = int(round((1 - common) * rank, 9)) // len(deltas)
    floor = least(deltas, weights)
    shared, sizes, right = leading(mean(deltas, weights), rank - own * len(deltas), floor)
    parts = [(shared, sizes, right)]
    if own:
        for delta, weight in zip(deltas, weights, strict=True):
            rest = float(weight) * delta.astype(np.float64)
            rest -= shared @ (shared.T @ rest)
            parts.append(leading(rest, own, floor))
    left = orthogonal(np.concatenate([u for u, _, _ in parts], axis=1))
    right = orthogonal(np.concatenate([v for _, _, v in parts], axis=1))
    return flattened(base, left, np.concatenate([s for _, s, _ in parts]), right, alpha * len(deltas))


def mean(deltas: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ wᵢ δᵢ [m, n] in float64, one source after the other."""
    total = np.zeros(deltas.shape[1:])
    for delta, weight in zip(deltas, weights, strict=True):
        total += float(weight) * delta.astype(np.float64)
    return total


def least(deltas: np.ndarray, weights: np.ndarray) -> float:
    """Below this a singular value of the mean is what rounding left of parts that cancel."""
    return NOTHING * sum(
        float(w) * float(np.linalg.norm(d.astype(np.float64))) for w, d in zip(weights, deltas, strict=True)
    )


def flattened(
    base: np.ndarray, left: np.ndarray, sizes: np.ndarray, right: np.ndarray, scale: float
) -> np.ndarray:
    """Return base + scale · mean(σ) · U Vᵀ, [m, n] float32."""
    if not sizes.size:
        return base
    return base + (scale * sizes.mean() * left @ right.T).astype(np.float32)
