"""PCB merging: entries compete within a task vector and between task vectors."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method


@method(
    "pcb",
    paper="Du et al. 2024, arXiv:2410.02396, section 3; the authors' code pcb-merging.py",
    unit="row",
    heads="average",
    density=Param(0.1, low=0, high=1, doc="share of each source's entries that wins the competition"),
    scale=Param(1.0, doc="factor on the merged task vector"),
)
def pcb(
    base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, density: float, scale: float
) -> np.ndarray:
    """Weigh each entry by its size among its own and its agreement with the others; drop the losers, average the rest.

    Parameter competition balancing, in the form of the authors' code: βᵢ = exp(k·n(|δᵢ|)²) · tanh(δᵢ · Σⱼ δⱼ), where
    n brings a row to 0 … 1; of each source the share `density` of largest β stays, brought to 0 … 1 above the
    threshold; the merge is Σ wᵢ βᵢ δᵢ / Σ wᵢ βᵢ, with the weights as the paper's λ. Where every β of a row is the
    same, all win.

    Entries compete within their row (a bias is one row), not within the whole model as in the paper: its sorts and
    extremes would need all task vectors in memory at once, and let the layers that changed most win everywhere.
    The code's clipping of the extreme 0.01 % is left out, because a row has less than one such entry.

    base     [.., rows, width] pretrained weights, float32
    deltas   [k, .., rows, width] task vectors
    weights  [k], non-negative, sum 1
    returns  [.., rows, width]
    """
    if not deltas.size or not density:
        return base
    total = deltas.sum(axis=0)
    merged, mass = np.zeros_like(base), np.zeros_like(base)
    for delta, weight in zip(deltas, weights, strict=True):
        size = np.abs(delta)
        to_unit(size, size.min(axis=-1, keepdims=True))
        size *= size
        size *= len(deltas)
        scores = np.exp(size, out=size)
        scores *= np.tanh(delta * total)
        low = scores.min(axis=-1, keepdims=True)
        to_unit(scores, low if density == 1 else threshold(scores, density))
        scores *= weight
        mass += scores
        scores *= delta
        merged += scores
    np.divide(merged, mass, out=merged, where=mass > 0)
    merged *= np.float32(scale)
    merged += base
    return merged


def threshold(scores: np.ndarray, density: float) -> np.ndarray:
    """Return the score above which the largest `density` of each row are, [.., rows, 1]."""
    width = scores.shape[-1]
    at = min(int(width * (1 - density)), width - 1)
    return np.sort(scores, axis=-1)[..., at : at + 1]


def to_unit(values: np.ndarray, low: np.ndarray) -> None:
    """Bring each row to 0 at `low` or below and 1 at its largest value, in place; a constant row to 1."""
    high = values.max(axis=-1, keepdims=True)
    constant = values.min(axis=-1, keepdims=True) == high
    np.maximum(values, low, out=values)
    values -= low
    spread = high - low
    values /= np.where(spread > 0, spread, 1)
    np.copyto(values, 1, where=constant)
