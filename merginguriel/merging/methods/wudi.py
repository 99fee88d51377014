"""WUDI: the merged task vector with least interference with each source's inputs."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method


@method(
    "wudi",
    paper="Cheng et al. 2025, arXiv:2503.08099, section 4",
    matrices=True,
    heads="average",
    ridge=Param(0.01, low=1e-6, high=1e6, doc="pull towards the mean, as a share of the mean curvature"),
    scale=Param(1.0, doc="factor on the merged task vector"),
)
def wudi(
    base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, ridge: float, scale: float
) -> np.ndarray:
    """Find the task vector τ that minimises Σ wᵢ ‖(τ − τᵢ) τᵢᵀ‖² / ‖τᵢ‖²: the rows of τᵢ stand for its inputs.

    The paper takes 300 steps of Adam from the sum of the task vectors. The loss is quadratic, so here its minimum
    is solved for, with a ridge that holds what the loss hardly sees at the mean of the task vectors: it takes
    seconds, has no learning rate, and leaves one model or k like ones as they are. Where Adam has not converged
    the two differ. Embeddings, biases and norms get the weighted mean.

    base     [m, n] pretrained weights, float32
    deltas   [k, m, n] task vectors
    weights  [k], non-negative, sum 1
    returns  [m, n]
    """
    from scipy.linalg import cho_factor, cho_solve
    from scipy.linalg.blas import dsyrk

    rows, width = base.shape
    lengths = [float(np.linalg.norm(delta.astype(np.float64))) for delta in deltas]
    moved = [
        (d, w / size**2, float(w)) for d, w, size in zip(deltas, weights, lengths, strict=True) if size > 0
    ]
    if not moved:
        return base
    curvature = np.zeros((width, width), order="F")  # upper triangle of Σ wᵢ τᵢᵀτᵢ / ‖τᵢ‖², of trace 1
    wanted = np.zeros((rows, width))  # Σ wᵢ τᵢ τᵢᵀτᵢ / ‖τᵢ‖²
    start = np.zeros((rows, width))
    for delta, share, weight in moved:
        own = delta.astype(np.float64)
        start += weight * own
        if rows < width:  # from the cheaper side
            dsyrk(share, own.T, beta=1, c=curvature, overwrite_c=True)
            wanted += (share * own @ own.T) @ own
        else:
            inner = share * own.T @ own
            curvature += inner
            wanted += own @ inner
    pull = ridge * np.trace(curvature) / width
    curvature[np.diag_indices(width)] += pull
    factor = cho_factor(curvature, overwrite_a=True, check_finite=False)
    merged = cho_solve(factor, (wanted + pull * start).T, overwrite_b=True, check_finite=False).T
    return base + (scale * merged).astype(np.float32)
