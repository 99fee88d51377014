"""Task arithmetic: the base plus the scaled mean of the task vectors."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method

from .averaging import added


@method(
    "task_arithmetic",
    paper="Ilharco et al. 2023, arXiv:2212.04089, section 2",
    unit="entry",
    scale=Param(1.0, doc="factor on the weighted mean of the task vectors"),
)
def task_arithmetic(base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, scale: float) -> np.ndarray:
    """Add the scaled weighted mean of the task vectors to the base.

    The paper adds their sum: its λ is `scale` / k. It selects λ on held-out data and reports 0.3 to 0.5 as good for
    different tasks; scale 1 is 1/2 for two sources and 1/3 for three. With scale 1 this is `linear`.

    base     [*s] pretrained weights, float32
    deltas   [k, *s] task vectors
    weights  [k], non-negative, sum 1
    returns  [*s]
    """
    return added(base, deltas, weights, scale)
