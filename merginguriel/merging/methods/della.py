"""DELLA: random drop by rank, smaller entries more likely."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Dice, Param, method

from .averaging import added
from .dare import RESCALE
from .ties import NORMALIZE, agreeing_mean

PAPER = "Deep et al. 2024, arXiv:2406.11617, section 3"
DENSITY = Param(0.7, low=0, high=1, doc="mean chance of an entry to survive; the paper's 1 − p")
EPSILON = Param(
    0.14, low=0, high=1, doc="by how much a row's largest entry is likelier kept than its smallest"
)
SCALE = Param(1.1, doc="factor on the merged task vector; the paper's λ")


@method(
    "della",
    paper=PAPER,
    unit="row",
    heads="average",
    density=DENSITY,
    epsilon=EPSILON,
    rescale=RESCALE,
    scale=SCALE,
    normalize=NORMALIZE,
)
def della(
    base: np.ndarray,
    deltas: np.ndarray,
    weights: np.ndarray,
    *,
    density: float,
    epsilon: float,
    rescale: bool,
    scale: float,
    normalize: bool,
    dice: Dice,
) -> np.ndarray:
    """Drop small entries more often than large ones, rescale the rest, average what agrees with the elected sign.

    MagPrune: in each row the chance to survive grows evenly with the rank of the magnitude, from density − ε/2 for
    the smallest to density + ε/2 for the largest, and what survives is divided by its own chance. Near a density
    of 0 or 1 the width ε shrinks, so that no chance leaves 0 … 1 and the mean stays; mergekit refuses. Its epsilon
    is half of this one, and it rescales the whole tensor to its former sum of magnitudes. Among equal magnitudes
    the first has the lowest rank. A bias is one row. With ε = 0 this is `dare_ties`, to the byte. The paper selects all
    three parameters on its benchmarks; the defaults are those of the authors' README for three models (drop rate 0.3,
    window 0.14, λ 1.1).

    base     [.., rows, width] pretrained weights, float32
    deltas   [k, .., rows, width] task vectors
    weights  [k], non-negative, sum 1
    returns  [.., rows, width]
    """
    magprune(deltas, density, epsilon, rescale, dice)
    return agreeing_mean(base, deltas, weights, scale, normalize)


@method(
    "della_linear",
    paper=PAPER,
    unit="row",
    heads="average",
    density=DENSITY,
    epsilon=EPSILON,
    rescale=RESCALE,
    scale=SCALE,
)
def della_linear(
    base: np.ndarray,
    deltas: np.ndarray,
    weights: np.ndarray,
    *,
    density: float,
    epsilon: float,
    rescale: bool,
    scale: float,
    dice: Dice,
) -> np.ndarray:
    """Drop small entries more often than large ones, rescale the rest, add their weighted mean to the base.

    What is dropped is the same as for `della`. With ε = 0 this is `dare_linear`, to the byte.

    Arguments as for `della`.
    """
    magprune(deltas, density, epsilon, rescale, dice)
    return added(base, deltas, weights, scale)


def magprune(deltas: np.ndarray, density: float, epsilon: float, rescale: bool, dice: Dice) -> None:
    """Drop entries of [k, .., rows, width] by the rank of their magnitude in the row, in place."""
    from merginguriel.merging import compiled_loops

    if density == 1 or not deltas.size:
        return
    chances = keep_chances(deltas.shape[-1], density, epsilon)
    limits = np.rint(chances * 2**32).astype(np.uint64)
    factors = np.ones(chances.size, np.float32)
    if rescale:
        np.divide(1, chances, out=factors, where=limits > 0, casting="same_kind")
    rows = deltas.reshape(len(deltas), -1, chances.size)
    bits = np.uint32(max(chances.size - 1, 1).bit_length())
    order = np.empty(rows[0].shape, np.uint32)
    words = np.empty((rows[0].size + 3) // 4 * 4, np.uint32)
    for own, key in zip(rows, dice.keys, strict=True):
        compiled_loops.ranking_keys(own, bits, order)
        # numpy sorts whole numbers with vector instructions; an argsort takes five times as long.
        order.sort(axis=-1)
        compiled_loops.settle_ranks(own, bits, order)
        compiled_loops.philox(dice.start // 4, key, words)
        compiled_loops.drop_by_rank(own, bits, order, words, limits, factors)


def keep_chances(width: int, density: float, epsilon: float) -> np.ndarray:
    """Return the probability to survive by ascending rank, float64 [width]: evenly spaced, with mean `density`."""
    half = min(epsilon / 2, density, 1 - density)
    return density + half * (np.linspace(-1, 1, width) if width > 1 else np.zeros(1))
