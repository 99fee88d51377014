"""Model Breadcrumbs: task vectors without their smallest and a few of their largest entries."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method

from .averaging import added
from .ties import NORMALIZE, agreeing_mean

PAPER = "Davari & Belilovsky 2023, arXiv:2312.06795, section 3"
DENSITY = Param(0.15, low=0, high=1, doc="share of each task vector that survives")
GAMMA = Param(0.006, low=0, high=1, doc="share of the largest entries that is dropped")
ALPHA = Param(0.2, doc="factor on the sum of the trimmed task vectors; the paper's α")
SCALE = Param(1.0, doc="factor on the merged task vector")


def between(size: int, *, density: float, gamma: float) -> tuple[int, int]:
    """Return the ranks of `density` of the entries below the largest `gamma`; these give way if both do not fit."""
    kept = max(int(density * size), 1) if density and size else 0
    high = size - min(int(gamma * size), size - kept)
    return high - kept, high


@method(
    "breadcrumbs",
    paper=PAPER,
    unit="entry",
    trim=between,
    heads="average",
    density=DENSITY,
    gamma=GAMMA,
    alpha=ALPHA,
)
def breadcrumbs(base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, alpha: float) -> np.ndarray:
    """Trim the smallest and the few largest entries, add α times the weighted sum of the rest to the base.

    The shares are of each tensor, as in the paper; with the trim scope `model` they are of the whole task vector.
    Nothing is rescaled. What is added is α k Σ wᵢδᵢ: α times the plain sum where weights are equal, as in section 3.
    The paper selects α, the share kept and the share of outliers on validation data; the defaults (0.2, 0.15, 0.006)
    are where the authors' search (find_best_hyperparam.py) begins. mergekit's trim is the same, except where gamma of
    a short tensor is less than one entry: there mergekit drops the whole tensor.

    base     [*s] pretrained weights, float32
    deltas   [k, *s] task vectors, trimmed
    weights  [k], non-negative, sum 1
    returns  [*s]
    """
    return added(base, deltas, weights, alpha * len(deltas))


@method(
    "breadcrumbs_ties",
    paper=PAPER + "; Yadav et al. 2023, arXiv:2306.01708",
    unit="entry",
    trim=between,
    heads="average",
    density=DENSITY,
    gamma=GAMMA,
    scale=SCALE,
    normalize=NORMALIZE,
)
def breadcrumbs_ties(
    base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, scale: float, normalize: bool
) -> np.ndarray:
    """Trim the smallest and the few largest entries, average what agrees with the elected sign.

    The trim is that of `breadcrumbs`, signs and mean are those of `ties`. mergekit's default is
    `normalize: false`; here it is true.

    Arguments as for `breadcrumbs`.
    """
    return agreeing_mean(base, deltas, weights, scale, normalize)
