"""Weighted Karcher means of directions on a sphere, computed in the space of coefficients."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method

SMALL = 1e-3  # of the mean's length, or of the sine of an angle: below, directions cancel
NOTHING = 1e-6  # of the longest source's length
CANCELS = 0.1  # of the sum of weights: below, the least coefficients of the mean are taken
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
    share = np.where(inverse > 0, weights, 0).astype(np.float64)
    if share.sum() == 0:
        return None
    share /= share.sum()
    # Points, not coefficients, take the steps: coefficients of dependent sources drift at a mean that stands still.
    values, vectors = np.linalg.eigh(gram * np.outer(inverse, inverse))
    points = vectors * np.sqrt(np.maximum(values, 0))
    mean = share @ points
    length = np.linalg.norm(mean)
    if length < SMALL:
        return None
    mean /= length
    for _ in range(max_iter):
        along, pull = _pull(points, share, mean)
        step = pull @ points - (pull @ along) * mean  # Σ wᵢ log(uᵢ)
        size = np.linalg.norm(step)
        if size <= tol:
            break
        mean = np.cos(size) * mean + np.sin(size) / size * step
        mean /= np.linalg.norm(mean)
    along, pull = _pull(points, share, mean)
    # At the mean the step is 0, so the mean is this sum, which of all that dependent sources allow is the one that
    # neither their order nor rounding changes.
    total = pull @ points
    return (
        pull / np.linalg.norm(total)
        if pull @ along > CANCELS
        else np.linalg.lstsq(points.T, mean, rcond=NOTHING)[0]
    )


def _pull(points: np.ndarray, share: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return cos θᵢ [k] of each point with the mean, and wᵢ θᵢ / sin θᵢ [k] (0 for a point opposite to the mean)."""
    along = np.clip(points @ mean, -1, 1)
    sinc = np.sinc(np.arccos(along) / np.pi)
    return along, np.divide(share, sinc, out=np.zeros_like(share), where=sinc > OPPOSITE)
