"""NeuroMerging: parts of task vectors orthogonal to a neuron's pretrained weights."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method

from .ties import agreeing_mean


@method(
    "neuromerging",
    paper="Fang et al. 2025, arXiv:2503.05320, section 4",
    unit="row",
    matrices=True,
    heads="average",
    mask_rate=Param(
        0.15, low=0, high=1, doc="share of each neuron's task vector, its smallest entries, set to 0"
    ),
    lambda_1=Param(0.0, doc="factor on the part along the pretrained weights"),
    lambda_2=Param(0.0, low=0, doc="factor on the part across them; 0: what the mask took, put back"),
    scale=Param(1.0, doc="factor on the merged task vector"),
)
def neuromerging(
    base: np.ndarray,
    deltas: np.ndarray,
    weights: np.ndarray,
    *,
    mask_rate: float,
    lambda_1: float,
    lambda_2: float,
    scale: float,
) -> np.ndarray:
    """Split each neuron's task vector along and across its pretrained weights, and merge the parts as TIES does.

    A neuron is a row of a weight matrix. Its small entries are masked, what is left is split, each part is elected
    and averaged over the sources (weighted), and λ₁ along + λ₂ across is added to the base. λ₂ is 1 / (1 − σ), with
    σ the largest share of the L1 norm that the mask took from a source. In the paper σ is one number for the whole
    model and the mask runs over a whole tensor; here both belong to a neuron, so that its weights alone decide what
    becomes of it. Embeddings, biases and norms get the weighted mean (paper: TIES).

    base     [r, n] pretrained rows, float32
    deltas   [k, r, n] task vectors
    weights  [k], non-negative, sum 1
    returns  [r, n]
    """
    factor = masked(deltas, mask_rate)
    if lambda_2:
        factor[:] = lambda_2
    # How far each task vector goes along its neuron: [k, r, 1].
    square = np.einsum("rn,rn->r", base, base, dtype=np.float64)
    along = np.einsum("krn,rn->kr", deltas, base, dtype=np.float64)
    share = np.divide(along, square, out=np.zeros_like(along), where=square > 0).astype(np.float32)
    nothing = np.zeros_like(base)
    merged = nothing
    if lambda_1:
        merged = agreeing_mean(nothing, share[:, :, None] * base, weights, lambda_1)
    for delta, part in zip(deltas, share, strict=True):
        delta -= part[:, None] * base
    across = agreeing_mean(nothing, deltas, weights, 1.0)
    across *= factor[:, None]
    across += merged
    across *= np.float32(scale)
    across += base
    return across


def masked(deltas: np.ndarray, rate: float) -> np.ndarray:
    """Zero the smallest `rate` of each row of `deltas` [k, r, n], in place; [r] factors 1 / (1 − σ), float32."""
    width = deltas.shape[-1]
    count = min(int(rate * width), width - 1)
    factor = np.ones(deltas.shape[1], np.float32)
    if count == 0:
        return factor
    for delta in deltas:
        size = np.abs(delta)
        whole = size.sum(axis=1, dtype=np.float64)
        edge = np.partition(size, count, axis=1)[:, count]
        taken = size < edge[:, None]
        delta[taken] = 0
        left = np.where(taken, 0, size).sum(axis=1, dtype=np.float64)
        np.maximum(factor, np.divide(whole, left, out=np.ones_like(whole), where=left > 0), out=factor)
    return factor
