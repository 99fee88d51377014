"""Fisher merging: mean of the sources weighted by the importance of each entry on some text."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method


@method(
    "fisher_dataset",
    paper="Matena & Raffel 2022, arXiv:2111.09832, section 3",
    unit="entry",
    saw="unlabelled text",
    before=("sentences", "samples"),
    floor=Param(1e-6, low=0, doc="least importance of an entry; the mean over a source's entries is 1"),
    sentences=Param(256, low=1, doc="how many sentences of the text are read, drawn by the seed"),
    samples=Param(
        1, low=0, doc="labels drawn per sentence from the model's own answer; 0: all, by probability"
    ),
)
def fisher_dataset(
    tensors: np.ndarray, weights: np.ndarray, *, importance: np.ndarray, floor: float
) -> np.ndarray:
    """Mean of the sources, each entry weighted by its diagonal Fisher information on text without labels.

    importance is E[(∂ log p(y|x) / ∂θ)²] over sentences x and over labels y of the model's own answer, divided by
    its mean over the source's entries, so that a source that is sure of itself is not outvoted (the authors'
    program divides by the norm). Entries that matter to no source, as rows of unseen tokens, get the weighted mean.

    tensors     [k, *s] sources, float32
    weights     [k], non-negative, sum 1
    importance  [k, *s], non-negative
    returns     [*s]: Σ w F θ / Σ w F with F = max(importance, floor)
    """
    np.maximum(importance, np.float32(max(floor, 1e-30)), out=importance)
    for row, weight in zip(importance, weights, strict=True):
        row *= weight
    tensors *= importance
    total, below = tensors[0], importance[0]
    for tensor, row in zip(tensors[1:], importance[1:], strict=True):
        total += tensor
        below += row
    total /= below
    return total
