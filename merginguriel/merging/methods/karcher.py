"""Weighted Karcher means of directions on a sphere, computed in the space of coefficients."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method

SMALL = 1e-3  # of the mean's length, or of the sine of an angle: below, directions cancel
NOTHING = 1e-6  # of the longest source's length
OPPOSITE = 1e-3  # sin θ / θ below which a source is opposite to the mean, and no way leads towards it


@method(
    "karcher",
    paper="Karcher 1977, doi:10.1002/cpa.3160300502; Buss & Fillmore 2001, doi:10.1145/502122.502124, section 2",
    max_iter=Param(100, low=1, high=10_000, doc="most steps towards the mean"),
    tol=Param(1e-9, low=0, high=1, doc="length of a step, in radians, that ends the search"),
)
def karcher(gram: np.ndarray, weights: np.ndarray, *, max_iter: int, tol: float) -> np.ndarray:
    """Take the weighted Riemannian mean of the sources' directions, as long as the sources are on average.

    Each tensor is a point on a sphere; the mean minimises Σ wᵢ θᵢ², θᵢ being the angle to source i. All steps are
    taken in coefficients of the sources, for which their inner products suffice. They start at the direction of the
    weighted mean and lead to a local minimum, which is the only one if all sources are within a right angle of it.
    Where directions cancel, the result is the weighted mean. mergekit weighs all sources the same, stops after 10
    steps, and leaves out a source that is zero; here it (or a source a millionth as long as the longest) counts in the
    mean length and has no direction.

    gram     [k, k] inner products of the sources, float64
    weights  [k], non-negative, sum 1
    returns  [k] coefficients
    """
    lengths, inverse = scales(gram)
    directions = mean_direction(gram, weights, max_iter, tol)
    return weights if directions is None else directions * inverse * (weights @ lengths)


def scales(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths [k] and their inverses, 0 for a source that is (next to the longest) zero: it has no direction."""
    lengths = np.sqrt(np.maximum(np.diag(gram), 0))
    present = lengths > NOTHING * lengths.max(initial=0)
    return lengths, np.divide(1.0, lengths, out=np.zeros_like(lengths), where=present)


def mean_direction(gram: np.ndarray, weights: np.ndarray, max_iter: int, tol: float) -> np.ndarray | None:
    """Coefficients [k] of the unit vectors xᵢ/‖xᵢ‖ whose sum is the mean direction; None if they cancel."""
    _, inverse = scales(gram)
    cosines = gram * np.outer(inverse, inverse)
    share = np.where(inverse > 0, weights, 0).astype(np.float64)
    if share.sum() == 0:
        return None
    share /= share.sum()
    length = np.sqrt(max(share @ cosines @ share, 0))
    if length < SMALL:
        return None
    start = mean = share / length
    for _ in range(max_iter):
        along = np.clip(cosines @ mean, -1, 1)
        angle = np.arccos(along)
        # θ / sin θ is 1 at 0. The step is Σ wᵢ log(uᵢ), the mean's own part taken off each.
        sinc = np.sinc(angle / np.pi)
        pull = np.divide(share, sinc, out=np.zeros_like(share), where=sinc > OPPOSITE)
        step = pull - (pull @ along) * mean
        size = np.sqrt(max(step @ cosines @ step, 0))
        if size <= tol:
            break
        moved = np.cos(size) * mean + np.sin(size) / size * step
        length = np.sqrt(max(moved @ cosines @ moved, 0))
        if length < SMALL:  # rounding in nearly dependent sources
            break
        mean = moved / length
    return min(start, mean, key=lambda at: share @ np.arccos(np.clip(cosines @ at, -1, 1)) ** 2)
