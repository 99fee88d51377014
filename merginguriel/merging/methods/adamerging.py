"""AdaMerging: the base plus task vectors with coefficients learned on unlabelled text."""

from __future__ import annotations

from typing import Any

import numpy as np

from merginguriel.merging.registry import Param, method

from .averaging import added
from .ties import largest

# What the search for coefficients needs; the merge itself reads them from the recipe.
LEARNING: dict[str, Any] = {
    "per": Param(
        "layer", choices=("task", "layer", "tensor"), doc="what has a coefficient of its own per source"
    ),
    "iterations": Param(200, low=0, doc="steps of the search; 0 leaves the coefficients at scale × weight"),
    "lr": Param(1e-3, low=0, doc="of Adam, on the coefficients"),
    "batch": Param(16, low=1, doc="sentences per step"),
    "entropy_weight": Param(1.0, low=0, doc="factor on the mean entropy of the answers, which is made small"),
    "diversity": Param(0.0, low=0, doc="factor on the entropy of a batch's mean answer, which is made large"),
    "scale": Param(1.0, low=0, doc="factor on the sources' weights, for the coefficients at the start"),
    "sentences": Param(1024, low=1, doc="how many sentences of the text are used, drawn by the seed"),
}


@method(
    "adamerging",
    paper="Yang et al. 2024, arXiv:2310.02575, section 3.2",
    unit="entry",
    saw="unlabelled text",
    before=tuple(LEARNING),
    **LEARNING,
)
def adamerging(
    base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, coefficients: np.ndarray
) -> np.ndarray:
    """Task vectors by coefficients that make the merged model sure of its answers to text without labels.

    The coefficients start at the weights (the paper: at 0.3 each) and are learnt per transformer layer; `per=tensor`
    is what the authors' program calls layer-wise, `per=task` their task-wise. They stand in the recipe, so that the
    merge is repeated without text; `weights` matter only where they start.

    base          [*s] pretrained weights, float32
    deltas        [k, *s] task vectors
    coefficients  [k], of this tensor
    returns       [*s]
    """
    del weights
    return added(base, deltas, coefficients, 1)


@method(
    "adamerging++",
    paper="Yang et al. 2024, arXiv:2310.02575, section 3.2 (AdaMerging++)",
    unit="entry",
    trim=largest,
    saw="unlabelled text",
    before=tuple(LEARNING),
    density=Param(0.2, low=0, high=1, doc="share of each task vector that survives the trim"),
    **LEARNING,
)
def adamerging_plus_plus(
    base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, coefficients: np.ndarray
) -> np.ndarray:
    """As adamerging, on task vectors that TIES has trimmed and cleared of entries against the elected sign.

    The sign is that of Σ wᵢ δᵢ by the recipe's weights, as in `ties`; the coefficients do not change it.

    Arguments as for `adamerging`.
    """
    shares = weights.reshape(-1, *[1] * base.ndim)
    elected = np.sign((deltas * shares).sum(0))
    deltas[np.sign(deltas) != elected] = 0
    return adamerging(base, deltas, weights, coefficients=coefficients)
