"""DOGE: task vectors with a common modification, found by projected gradient descent."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method

from .knots import fixed_order, trim
from .tsv import leading

BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam


@method(
    "doge",
    paper="Wei et al. 2025, arXiv:2501.01230 (DOGE TA); its form in fusion_bench, doge_ta.py",
    matrices=True,
    heads="average",
    eta=Param(0.07, low=0, doc="η: length that each task vector is brought to in each matrix"),
    density=Param(
        0.3, low=0, high=1, doc="share of each modified task vector, at its largest entries, that is added"
    ),
    subspace=Param(6, low=1, doc="the shared subspace has the matrix's rank divided by this many directions"),
    steps=Param(400, low=0, doc="steps of Adam"),
    lr=Param(1e-4, low=0, doc="learning rate of Adam"),
)
def doge(
    base: np.ndarray,
    deltas: np.ndarray,
    weights: np.ndarray,
    *,
    eta: float,
    density: float,
    subspace: int,
    steps: int,
    lr: float,
) -> np.ndarray:
    """Add to all task vectors one modification that brings the merge near each of them, and sum their large entries.

    With λᵢ = η k wᵢ / ‖τᵢ‖, Adam minimises Σⱼ Σᵣ ⟨τⱼ, τⱼ − Σᵢ λᵢ(τᵢ + Δ)⟩ᵣ² over rows r, from Δ = 0. Its gradient has no part
    in the shared subspace: the leading left singular vectors of those of all sources. What is added is
    Σᵢ λᵢ mᵢ(τᵢ + Δ), with mᵢ the largest entries of τᵢ. The defaults are the authors' for CLIP; η is a length, so that
    models which moved much more or less than those need another. The authors trim over the whole model, this trims
    each matrix. Embeddings, biases and norms get the weighted mean (the authors: the base). Takes minutes for a model
    of XLM-R-base size.

    base     [m, n] pretrained weights, float32
    deltas   [k, m, n] task vectors
    weights  [k], non-negative, sum 1
    returns  [m, n]
    """
    order = fixed_order(deltas, weights)
    deltas, weights = deltas[order], weights[order]
    lengths = np.linalg.norm(deltas.reshape(len(deltas), -1).astype(np.float64), axis=1)
    factors = np.divide(eta * len(deltas) * weights, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    rank = min(base.shape)
    own = [leading(delta.astype(np.float64), max(rank // len(deltas), 1))[0] for delta in deltas]
    shared = leading(np.concatenate(own, axis=1), rank // subspace)[0].astype(np.float32)
    change = modification(deltas, factors.astype(np.float32), shared, steps, np.float32(lr))
    merged = base.copy()
    for delta, factor in zip(deltas, factors.astype(np.float32), strict=True):
        both = delta + change
        trim(delta.reshape(-1), density)
        merged += factor * both * (delta != 0)
    return merged


def modification(
    deltas: np.ndarray, factors: np.ndarray, shared: np.ndarray, steps: int, lr: np.float32
) -> np.ndarray:
    """Return Δ [m, n] after `steps` steps of Adam across the orthonormal columns of `shared` [m, s]."""
    total = factors.sum()
    # ⟨τⱼ, τⱼ − Σᵢ λᵢτᵢ⟩ of each row: [k, m].
    goal = np.einsum("kmn,kmn->km", deltas, deltas - np.tensordot(factors, deltas, 1))
    change, first, second = np.zeros((3, *deltas.shape[1:]), np.float32)
    for step in range(1, steps + 1):
        gap = goal - total * np.einsum("kmn,mn->km", deltas, change)
        slope = np.einsum("km,kmn->mn", -2 * total * gap, deltas)
        slope -= shared @ (shared.T @ slope)
        first += np.float32(1 - BETAS[0]) * (slope - first)
        second += np.float32(1 - BETAS[1]) * (slope * slope - second)
        length = np.sqrt(second / np.float32(1 - BETAS[1] ** step))
        length += np.float32(EPSILON)
        change -= (lr / np.float32(1 - BETAS[0] ** step)) * first / length
    return change
