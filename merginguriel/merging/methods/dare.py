"""DARE: task vectors with most entries dropped at random and the rest rescaled."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Dice, Param, method

from .averaging import added
from .ties import NORMALIZE, agreeing_mean

PAPER = "Yu et al. 2023, arXiv:2311.03099, section 3"
DENSITY = Param(0.8, low=0, high=1, doc="chance of each entry of a task vector to survive; the paper's 1 − p")
RESCALE = Param(True, doc="divide what survives by the chance that it had, so that its expectation stays")
SCALE = Param(1.0, doc="factor on the merged task vector")


@method(
    "dare_linear", paper=PAPER, unit="entry", heads="average", density=DENSITY, rescale=RESCALE, scale=SCALE
)
def dare_linear(
    base: np.ndarray,
    deltas: np.ndarray,
    weights: np.ndarray,
    *,
    density: float,
    rescale: bool,
    scale: float,
    dice: Dice,
) -> np.ndarray:
    """Drop entries of each task vector at random, rescale the rest, add their weighted mean to the base.

    What is dropped depends on the seed, the source's name, the tensor's name and the position. The paper selects the
    drop rate on validation data; for averages the authors' README takes 0.2, the default here (0.9 is for single models).
    Rescaling divides by the density, as in the paper; mergekit multiplies so that the tensor keeps its sum of magnitudes.

    base     [*s] pretrained weights, float32
    deltas   [k, *s] task vectors
    weights  [k], non-negative, sum 1
    returns  [*s]
    """
    dropped(deltas, density, rescale, dice)
    return added(base, deltas, weights, scale)


@method(
    "dare_ties",
    paper=PAPER,
    unit="entry",
    heads="average",
    density=DENSITY,
    rescale=RESCALE,
    scale=SCALE,
    normalize=NORMALIZE,
)
def dare_ties(
    base: np.ndarray,
    deltas: np.ndarray,
    weights: np.ndarray,
    *,
    density: float,
    rescale: bool,
    scale: float,
    normalize: bool,
    dice: Dice,
) -> np.ndarray:
    """Drop entries of each task vector at random, rescale the rest, average what agrees with the elected sign.

    DARE takes the place of the trim of `ties`; signs and mean are as there. mergekit adds up what agrees by
    default (its `normalize: false`); here, as in TIES, it is divided by the weights that agree. What is dropped,
    and the default for how much, are the same as for `dare_linear`.

    Arguments as for `dare_linear`.
    """
    dropped(deltas, density, rescale, dice)
    return agreeing_mean(base, deltas, weights, scale, normalize)


def dropped(deltas: np.ndarray, density: float, rescale: bool, dice: Dice) -> None:
    """Keep each entry of [k, *s] with chance `density`, in place."""
    from merginguriel.merging import compiled_loops

    if density == 1:
        return
    limit = np.uint64(round(density * 2**32))
    factor = np.float32(1 / density if rescale and density else 1)
    for delta, key in zip(deltas, dice.keys, strict=True):
        compiled_loops.drop(delta.reshape(-1), key, dice.start, limit, factor)
