"""Mean of the task vectors weighted by the magnitude of every entry."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method


@method(
    "fisher_simple",
    paper="a proxy without data for Matena & Raffel 2022, arXiv:2111.09832, section 3",
    unit="entry",
    scale=Param(1.0, doc="factor on the merged task vector"),
)
def fisher_simple(base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, scale: float) -> np.ndarray:
    """Average the task vectors entry by entry with |δ| as importance: Σ wᵢ|δᵢ|δᵢ / Σ wᵢ|δᵢ|.

    This is a proxy and no Fisher information: it takes how far an entry moved for how much it matters. Fisher
    merging proper weighs by squared gradients on data; nothing here has seen any. Where no source moved, the base
    stays. With one source, or with magnitudes that are equal, it is `task_arithmetic`.

    base     [*s] pretrained weights, float32
    deltas   [k, *s] task vectors
    weights  [k], non-negative, sum 1
    returns  [*s]
    """
    mass = np.zeros_like(base)
    total = np.zeros_like(base)
    # The weights are divided by each entry's largest magnitude, or tiny entries would vanish when squared.
    largest = np.abs(deltas).max(axis=0)
    largest[largest == 0] = 1
    for delta, weight in zip(deltas, weights, strict=True):
        importance = np.abs(delta)
        importance /= largest
        importance *= weight
        mass += importance
        importance *= delta
        total += importance
    np.divide(total, mass, out=total, where=mass > 0)
    total *= np.float32(scale)
    total += base
    return total
