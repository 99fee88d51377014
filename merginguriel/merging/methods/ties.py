"""What is left of the task vectors once small entries and disagreeing signs are out?"""

from __future__ import annotations

import numpy as np

from ..registry import Param, method


@method(
    "ties",
    paper="Yadav et al. 2023, arXiv:2306.01708, section 3",
    density=Param(0.2, low=0, high=1, doc="share of each task vector, per tensor, that survives the trim"),
    scale=Param(1.0, doc="factor on the merged task vector"),
)
def ties(
    base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, density: float, scale: float
) -> np.ndarray:
    """Trim small entries, elect a sign per entry, average what agrees with it.

    The paper trims each task vector as a whole; here each tensor keeps the share `density` of its own
    entries, as mergekit does, so that no layer with small changes is silenced. The sign is that of Σ wᵢ δᵢ,
    and the mean is weighted over the sources that agree with it; an exact tie leaves the base as it is.

    base     [*s] pretrained weights, float32
    deltas   [k, *s] task vectors
    weights  [k], non-negative, sum 1
    returns  [*s]
    """
    elected = np.zeros(base.shape, np.float32)
    for delta, weight in zip(deltas, weights, strict=True):
        trim(delta, density)
        elected += weight * delta
    np.sign(elected, out=elected)
    merged = np.zeros(base.shape, np.float32)
    mass = np.zeros(base.shape, np.float32)
    agree = np.empty(base.shape, bool)
    for delta, weight in zip(deltas, weights, strict=True):
        # A trimmed entry has no say. Signs are compared because a product of small entries could vanish.
        np.equal(np.sign(delta), elected, out=agree)
        agree &= delta != 0
        delta *= agree
        delta *= weight
        merged += delta
        mass += weight * agree
    np.divide(merged, mass, out=merged, where=mass > 0)
    merged *= np.float32(scale)
    merged += base
    return merged


def trim(delta: np.ndarray, density: float) -> None:
    """Zero all but the largest `density` of the entries, in place; among equals the first stay.

    At least one entry stays, unless `density` is 0: a bias of three entries is not lost to a density of 0.1.
    """
    size = delta.size
    kept = max(int(density * size), 1)
    if density == 0:
        delta[...] = 0
    elif kept < size:
        magnitude = np.abs(delta)
        threshold = np.partition(magnitude, size - kept, axis=None)[size - kept]
        mask = magnitude >= threshold
        surplus = np.count_nonzero(mask) - kept
        if surplus and threshold > 0:
            # In half precision many changes are equally large, and keeping all would miss the density by far.
            mask.reshape(-1)[np.flatnonzero(magnitude == threshold)[-surplus:]] = False
        delta *= mask
