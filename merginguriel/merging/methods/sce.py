"""SCE: the entries where sources differ most, each source weighted by how far it moved."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method


@method(
    "sce",
    paper="Wan et al. 2024, arXiv:2408.07990, section 3.3 (select, calculate, erase)",
    unit="row",
    heads="average",
    select_topk=Param(
        1.0, low=0, high=1, doc="share of the entries, those of largest variance, that are merged"
    ),
    scale=Param(1.0, doc="factor on the merged task vector"),
)
def sce(
    base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, select_topk: float, scale: float
) -> np.ndarray:
    """Select the entries that vary most between sources, weigh sources by their squares there, drop minority signs.

    All three steps are done for each row of a matrix (a bias is one row), where the paper and mergekit do them for
    each matrix. A threshold over an embedding of 192 million entries needs either every source in memory at once
    or three more passes over the files; a row fits in the cache, gets the share that it asks for whatever the
    scale of its neighbours, and the weights follow which source moved this neuron rather than the layer. On a
    matrix of one row the definitions are the same.

    Of the entries whose variance is not 0 the share `select_topk` is merged, as in mergekit; 1 selects all, as by
    default there and in the configurations of the authors' later models (FuseO1-Preview). The paper takes 0.1 of chat
    models (section 4.1); of a classifier fine-tuned on few sentences that leaves nothing. Source
    i counts wᵢ Σ δᵢ² over the selected entries; with equal weights that is the paper. mergekit falls back to equal
    shares where the mean squares add up to less than 10⁻⁶, which fine-tuning seldom exceeds; here it does not. An
    exact tie of signs leaves the base; mergekit counts it as positive.

    base     [.., rows, width] pretrained weights, float32
    deltas   [k, .., rows, width] task vectors
    weights  [k], non-negative, sum 1
    returns  [.., rows, width]
    """
    from merginguriel.merging import compiled_loops

    width = deltas.shape[-1]
    rows = deltas.reshape(len(deltas), -1, width)
    if select_topk < 1 and rows.size:
        select(rows, select_topk)
    squares = np.einsum("krn,krn->kr", rows, rows) * weights[:, None]
    total = squares.sum(axis=0)
    shares = np.divide(squares, total, out=np.zeros_like(squares), where=total > 0)
    compiled_loops.agreeing_mean(
        base.reshape(-1, width), rows, weights, shares, np.float32(scale), True, rows[0]
    )
    return rows[0]


def select(rows: np.ndarray, share: float) -> None:
    """Zero all but the entries of largest variance in each row of [k, rows, width], in place; of equals the first stay."""
    spread = rows.var(axis=0)
    ranked = np.sort(spread, axis=-1)
    wanted = (np.count_nonzero(spread, axis=-1, keepdims=True) * share).astype(np.int64)
    first = np.minimum(ranked.shape[-1] - wanted, ranked.shape[-1] - 1)
    limits = np.take_along_axis(ranked, first, axis=-1)
    limits[wanted == 0] = np.inf
    kept, equal = spread > limits, spread == limits
    kept |= equal & (np.cumsum(equal, axis=-1) <= wanted - kept.sum(axis=-1, keepdims=True))
    rows *= kept
