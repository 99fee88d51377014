"""Merged task vectors under masks that assign entries to sources."""

from __future__ import annotations

import numpy as np

from merginguriel.errors import UsageError
from merginguriel.merging.registry import Param, TensorPlace, method

PAPER = "Wang et al. 2024, arXiv:2405.07813"
STRICTNESS = Param(
    0.4, low=0, doc="λ: a source claims an entry if |δᵢ| ≥ λ·|sum of the others|; the paper tries 0.2 … 0.6"
)


@method(
    "consensus",
    paper=PAPER + ", section 4.2 (consensus merging)",
    unit="entry",
    strictness=STRICTNESS,
    heads="average",
    agree=Param(2, low=1, doc="how many sources must claim an entry; at most their number"),
    alpha=Param(1.0, doc="factor on the masked sum of the task vectors; the paper's α"),
)
def consensus(
    base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, strictness: float, agree: int, alpha: float
) -> np.ndarray:
    """Add α times the sum of the task vectors where several sources claim the entry; elsewhere keep the base.

    Entries that one source alone uses (selfish) or none (catastrophic) are left out. A source claims an entry as
    for `localise`, by the sum k·Σ wᵢδᵢ. The paper selects α on validation data between 0 and 1; the default is the
    unscaled sum, as for the TALL-masks of section 4.1, and `agree` is the 2 of section 4.2. With strictness 0 nothing
    is masked, and with α = 1/k besides this is `task_arithmetic`.

    base     [*s] pretrained weights, float32
    deltas   [k, *s] task vectors
    weights  [k], non-negative, sum 1
    returns  [*s]
    """
    total = summed(deltas, weights)
    claims = np.zeros(base.shape, np.int32)
    for delta in deltas:
        claims += claimed(delta, total, strictness)
    total *= np.float32(alpha)
    total *= claims >= min(agree, len(deltas))
    total += base
    return total


@method(
    "localise",
    paper=PAPER + ", section 4.1 (TALL-masks)",
    unit="entry",
    saw="labels",
    heads="average",
    strictness=STRICTNESS,
    scale=Param(1.0, doc="factor on the masked sum of the task vectors"),
)
def localise(
    base: np.ndarray,
    deltas: np.ndarray,
    weights: np.ndarray,
    *,
    strictness: float,
    scale: float,
    place: TensorPlace,
) -> np.ndarray:
    """Add the sum of the task vectors where the target's own model claims the entry; elsewhere keep the base.

    The target's own model must be among the sources. It claims an entry where |δₜ| ≥ λ·|τ − δₜ|, τ = k·Σ wᵢδᵢ: the
    paper's TALL-mask, and its sum of task vectors if the weights are equal. The result comes near the target's own
    model, with what the others agree with added.

    Arguments as for `consensus`.

    Raises UsageError if the recipe names no target, or one without a source.
    """
    if place.target is None:
        raise UsageError(
            "localise needs to know whose entries to keep.", hint="Name the target: --target LOCALE"
        )
    if place.target not in place.names:
        raise UsageError(
            f"localise needs the target's own model, and {place.target} is not among the sources.",
            hint=f"Sources are: {', '.join(place.names)}.\n"
            "Add the target's model as a source, or use consensus, which needs none.",
        )
    total = summed(deltas, weights)
    total *= claimed(deltas[place.names.index(place.target)], total, strictness)
    total *= np.float32(scale)
    total += base
    return total


def summed(deltas: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return k · Σ wᵢδᵢ, [*s]: the sum of the task vectors if the weights are equal. `deltas` is not changed."""
    total = np.zeros_like(deltas[0])
    for delta, weight in zip(deltas, weights, strict=True):
        total += delta * (weight * np.float32(len(deltas)))
    return total


def claimed(delta: np.ndarray, total: np.ndarray, strictness: float) -> np.ndarray:
    """Where is |δ| at least λ times what the others add, |τ − δ|? bool [*s]."""
    others = np.abs(total - delta)
    others *= np.float32(strictness)
    return np.abs(delta) >= others
