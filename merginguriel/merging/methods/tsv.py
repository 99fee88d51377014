"""Task singular vectors: directions of several task vectors kept orthogonal."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method

NOTHING = (
    1e-6  # a singular value below this share of the matrix's norm is rounding, and its vectors are chance
)
DEPENDENT = 1e-10  # eigenvalue of UᵀU below which columns are linear combinations of others


@method(
    "tsv",
    paper="Gargiulo et al. 2025, arXiv:2412.00081, section 4.2 (TSV-Merge)",
    matrices=True,
    heads="average",
    scale=Param(1.0, doc="factor on the merged task vector"),
)
def tsv(base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, scale: float) -> np.ndarray:
    """Keep each task vector's leading singular vectors, make those of all sources orthogonal, and add.

    Of k sources each keeps 1/k of its singular values. The left vectors of all, side by side, are replaced by the
    nearest orthogonal ones, and so are the right ones. The paper adds with weight 1 each; here source i has weight
    k wᵢ, which is that where weights are equal. Linearly dependent vectors (two like sources) share one direction;
    the paper leaves open what becomes of them. Embeddings, biases and norms get the weighted mean.

    base     [m, n] pretrained weights, float32
    deltas   [k, m, n] task vectors
    weights  [k], non-negative, sum 1
    returns  [m, n]
    """
    count = len(deltas)
    kept = max(min(base.shape) // count, 1)
    parts = [leading(delta.astype(np.float64), kept) for delta in deltas]
    sizes = np.concatenate([count * float(w) * s for w, (_, s, _) in zip(weights, parts, strict=True)])
    left = orthogonal(np.concatenate([u for u, _, _ in parts], axis=1))
    right = orthogonal(np.concatenate([v for _, _, v in parts], axis=1))
    return base + (scale * (left * sizes) @ right.T).astype(np.float32)


def leading(
    matrix: np.ndarray, count: int, floor: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the `count` largest singular values and their vectors: U [m, r], σ [r], V [n, r] with r ≤ count.

    By the eigenvectors of the smaller Gram matrix in float64, several times faster than an SVD and exact enough
    for values above `floor` (default: NOTHING of the matrix's norm); smaller ones are left out.
    """
    if matrix.shape[0] > matrix.shape[1]:
        right, sizes, left = leading(matrix.T, count, floor)
        return left, sizes, right
    norm = np.linalg.norm(matrix)
    if norm == 0:
        return np.zeros((matrix.shape[0], 0)), np.zeros(0), np.zeros((matrix.shape[1], 0))
    # Brought to norm 1 first, so that squares of very small entries do not vanish.
    unit = matrix / norm
    squares, vectors = np.linalg.eigh(unit @ unit.T)
    sizes = np.sqrt(np.maximum(squares[::-1][:count], 0))
    sizes = sizes[sizes > max(NOTHING, (floor or 0.0) / norm)]
    left = vectors[:, ::-1][:, : sizes.size]
    return left, sizes * norm, unit.T @ (left / sizes)


def orthogonal(columns: np.ndarray) -> np.ndarray:
    """Return the matrix with orthonormal columns nearest to `columns` [m, r]: U (UᵀU)^(−1/2), on the rank of U."""
    values, vectors = np.linalg.eigh(columns.T @ columns)
    kept = values > DEPENDENT
    return columns @ (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T
