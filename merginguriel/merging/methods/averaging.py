"""Means of the sources' weights, equal or weighted."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import method


@method(
    "average",
    paper="Wortsman et al. 2022, arXiv:2203.05482, section 2 (uniform soup)",
    weighted=False,
    unit="entry",
)
def average(tensors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average the sources' weights; every source counts the same.

    tensors  [k, *s] sources, float32
    weights  [k], all 1/k
    returns  [*s]
    """
    return weighted_sum(tensors, weights)


@method(
    "linear",
    paper="Matena & Raffel 2022, arXiv:2111.09832, section 2.1; Ilharco et al. 2022, arXiv:2208.05592",
    unit="entry",
)
def linear(tensors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Take the weighted mean of the sources' weights; the weights may come from a similarity to the target.

    tensors  [k, *s] sources, float32
    weights  [k], non-negative, sum 1
    returns  [*s]
    """
    return weighted_sum(tensors, weights)


def weighted_sum(tensors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ wᵢ xᵢ, one source after the other: a fixed order of rounding, the same on every machine."""
    total = tensors[0]
    total *= weights[0]
    for tensor, weight in zip(tensors[1:], weights[1:], strict=True):
        tensor *= weight
        total += tensor
    return total


def added(base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, scale: float) -> np.ndarray:
    """Return base + scale · Σ wᵢδᵢ, [*s]."""
    merged = weighted_sum(deltas, weights)
    merged *= np.float32(scale)
    merged += base
    return merged
