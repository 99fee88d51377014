"""Directional consensus: task vectors projected onto their shared direction."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method

CANCELLED = 1e-3  # length of the sum, as a share of the lengths, below which there is no common direction


@method(
    "directional_consensus",
    paper="MergingUriel, experiment log: 2026-01-20-directional-consensus",
    alpha=Param(1.0, low=0, high=1, doc="strength of the projection; 0 gives task_arithmetic"),
    scale=Param(1.0, doc="factor on the merged task vector"),
)
def directional_consensus(
    base_gram: np.ndarray, weights: np.ndarray, *, alpha: float, scale: float
) -> np.ndarray:
    """Project each task vector on the direction of their sum, then take the weighted mean.

    In each tensor d = Σ τᵢ / ‖Σ τᵢ‖, a source becomes (1 − α) τᵢ + α (τᵢ · d) d. The direction is that of the plain
    sum, as in the original study, also where the weights differ; its layers are tensors here. Task vectors that
    cancel to a thousandth of their lengths have no common direction, and the projection is zero.

    base_gram  [k, k] inner products of the task vectors, float64
    weights    [k], non-negative, sum 1
    returns    [k] coefficients of the task vectors
    """
    along = base_gram.sum(axis=1)  # τᵢ · Σ τⱼ
    total = along.sum()  # ‖Σ τⱼ‖²
    lengths = np.sqrt(np.maximum(np.diag(base_gram), 0)).sum()
    share = (weights @ along) / total if total > (CANCELLED * lengths) ** 2 else 0.0
    return scale * ((1 - alpha) * weights + alpha * share)
