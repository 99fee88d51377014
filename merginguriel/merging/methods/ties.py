"""TIES: task vectors without small entries and disagreeing signs."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method

NORMALIZE = Param(True, doc="divide the weighted sum of what agrees by the weights that agree")


def largest(size: int, *, density: float) -> tuple[int, int]:
    """Return the ranks of the largest `density` of the entries; at least one, so that no short bias is lost."""
    kept = max(int(density * size), 1) if density and size else 0
    return size - kept, size


@method(
    "ties",
    paper="Yadav et al. 2023, arXiv:2306.01708, section 3",
    unit="entry",
    trim=largest,
    heads="average",
    density=Param(0.2, low=0, high=1, doc="share of each task vector that survives the trim"),
    scale=Param(1.0, doc="factor on the merged task vector"),
    normalize=NORMALIZE,
)
def ties(
    base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, scale: float, normalize: bool
) -> np.ndarray:
    """Trim small entries, elect a sign per entry, average what agrees with it.

    By default each tensor keeps the share `density` of its own entries, so that no layer with small changes is
    silenced (mergekit does so too); with the trim scope `model` the share is of the whole task vector, as in the
    paper. Among equal magnitudes at the threshold the first stay, so that the share is exact. The sign is that
    of Σ wᵢ δᵢ, and the mean is weighted over the sources that agree with it. An exact tie leaves the base as it
    is; mergekit counts it as positive.

    base     [*s] pretrained weights, float32
    deltas   [k, *s] task vectors, trimmed
    weights  [k], non-negative, sum 1
    returns  [*s]
    """
    return agreeing_mean(base, deltas, weights, scale, normalize)


def agreeing_mean(
    base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, scale: float, normalize: bool = True
) -> np.ndarray:
    """Return base + scale · (mean over the sources whose sign is that of the weighted sum), [*s].

    normalize  divide by the weights that agree; False: the weighted sum over those sources
    """
    from merginguriel.merging import compiled_loops

    rows = deltas.reshape(len(deltas), 1, -1)
    compiled_loops.agreeing_mean(
        base.reshape(1, -1), rows, weights, weights[:, None], np.float32(scale), normalize, rows[0]
    )
    return rows[0].reshape(base.shape)
