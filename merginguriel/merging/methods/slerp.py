"""Spherical interpolation of two or more models."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import method

from .karcher import SMALL, mean_direction


@method(
    "slerp",
    paper="Shoemake 1985, doi:10.1145/325165.325242, section 3.3",
    sources=(2, 2),
)
def slerp(gram: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Interpolate two sources along the arc between them; t is the second one's weight.

    Each tensor as a whole is one vector, and its length is not changed before it is weighed (so in mergekit).
    Where the two are collinear there is no arc, and the result is the weighted mean. mergekit takes that already
    at a cosine above 0.9995, where the two differ by at most 0.00013 of the vectors' length; here it is at
    0.9999995. The weights name the share of each source, so there is no first and second.

    gram     [2, 2] inner products of the sources, float64
    weights  [2], non-negative, sum 1: 1 − t and t
    returns  [2] coefficients
    """
    return arc(gram, weights)


@method(
    "nuslerp",
    paper="Shoemake 1985, doi:10.1145/325165.325242; Buss & Fillmore 2001, doi:10.1145/502122.502124",
)
def nuslerp(gram: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spherical interpolation of any number of sources by their weights; of two it is `slerp`.

    The coefficients are those by which the weighted Karcher mean is made of the sources' directions, applied to
    the sources as they are; `karcher` brings the result to the mean length instead. A chain of slerps would
    depend on the order of the sources, and this does not. mergekit's nuslerp takes two sources and agrees.
    Where directions cancel, the result is the weighted mean.

    Arguments as for `slerp`.
    """
    if len(weights) == 2:
        return arc(gram, weights)
    found = mean_direction(gram, weights, max_iter=1000, tol=1e-10)
    return weights if found is None or found.min() < 0 else found


def arc(gram: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """sin((1 − t) θ) / sin θ and sin(t θ) / sin θ; the weights where sin θ is small."""
    lengths = np.sqrt(np.maximum(np.diag(gram), 0))
    if not lengths.all():
        return weights
    angle = np.arccos(np.clip(gram[0, 1] / (lengths[0] * lengths[1]), -1, 1))
    if np.sin(angle) < SMALL:
        return weights
    return np.sin(weights.astype(np.float64) * angle) / np.sin(angle)
