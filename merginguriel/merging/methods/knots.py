"""KnOTS: TIES on task vectors aligned by a shared singular basis."""

from __future__ import annotations

from hashlib import sha256

import numpy as np

from merginguriel.merging.registry import Param, method

from .ties import agreeing_mean, largest
from .tsv import leading

SKETCH = 256  # directions that a sketch finds
OUTSIDE = 1e-6  # share of the squares that may lie outside them


@method(
    "knots_ties",
    paper="Stoica et al. 2024, arXiv:2410.19735, section 4",
    unit="tensor",
    matrices=True,
    heads="average",
    density=Param(0.2, low=0, high=1, doc="share of each aligned task vector that survives the trim"),
    scale=Param(1.0, doc="factor on the merged task vector"),
)
def knots_ties(
    base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, density: float, scale: float
) -> np.ndarray:
    """Merge by TIES in one singular basis that the task vectors of a weight matrix share.

    Low-rank updates of different sources change different directions, so that their entries hardly overlap and
    TIES elects signs of noise. With [Δ₁ … Δₖ] = U Σ [V₁ … Vₖ]ᵀ, what is merged are the Σ Vᵢᵀ = Uᵀ Δᵢ, as in the
    authors' program. The paper trims over the whole model, this trims each matrix. Biases, norms and embeddings
    get the weighted mean of the sources. Whole fine-tunes cost one symmetric eigenproblem of the matrix's height, or of
    k times its width if that is less; adapters almost nothing.

    base     [rows, columns] pretrained weights, float32
    deltas   [k, rows, columns] task vectors
    weights  [k], non-negative, sum 1
    returns  [rows, columns]
    """
    order = fixed_order(deltas, weights)
    basis = shared_basis(np.concatenate([deltas[i] for i in order], axis=1))
    if not basis.size:
        return base
    aligned = np.stack([basis.T @ deltas[i] for i in order])
    for part in aligned:
        trim(part.reshape(-1), density)
    merged = agreeing_mean(np.zeros_like(aligned[0]), aligned, weights[order], scale)
    return base + basis @ merged


def fixed_order(deltas: np.ndarray, weights: np.ndarray) -> list[int]:
    """Return one order of the sources whatever the recipe's, so that rounding is the same."""
    return sorted(range(len(deltas)), key=lambda i: (sha256(deltas[i].tobytes()).digest(), weights[i]))


def shared_basis(wide: np.ndarray) -> np.ndarray:
    """Return the left singular vectors of [rows, columns] without those of length zero: [rows, r] float32.

    If nearly all of it lies within a few directions, as with adapters, only those are looked at: a sketch by
    random columns (Halko et al. 2011, arXiv:0909.4061) finds them in a hundredth of the time.
    """
    whole = wide.astype(np.float64)
    inner, outer = whole, None
    if min(wide.shape) > 2 * SKETCH:
        columns = np.random.default_rng(0).standard_normal((wide.shape[1], SKETCH))
        outer = np.linalg.qr(whole @ columns)[0]
        inner = outer.T @ whole
        if np.square(inner).sum() < (1 - OUTSIDE) * np.square(whole).sum():
            inner, outer = whole, None
    if inner.shape[0] > inner.shape[1]:
        basis = leading(inner, inner.shape[1])[0]
    else:
        # Eigenvalues of the Gram matrix are squares of singular values, at a fraction of the cost.
        squares, basis = np.linalg.eigh(inner @ inner.T)
        basis = basis[:, squares > max(squares[-1], 0) * 1e-12]
    return np.ascontiguousarray(basis if outer is None else outer @ basis, np.float32)


def trim(values: np.ndarray, density: float) -> None:
    """Zero all but the `density` of the entries that are largest in magnitude, in place."""
    low, _ = largest(values.size, density=density)
    if low:
        order = np.argpartition(np.abs(values), low - 1)
        values[order[:low]] = 0
