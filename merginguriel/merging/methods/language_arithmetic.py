"""Language arithmetic: task vectors added and subtracted."""

from __future__ import annotations

import numpy as np

from merginguriel.merging.registry import Param, method

from .averaging import added


@method(
    "language_arithmetic",
    paper="Zhao et al. 2024, arXiv:2402.18913, section 3 (AdaMergeX)",
    unit="entry",
    signed=True,
    scale=Param(1.0, doc="factor on the combined task vector"),
)
def language_arithmetic(
    base: np.ndarray, deltas: np.ndarray, weights: np.ndarray, *, scale: float
) -> np.ndarray:
    """Add the task vectors by their weights as given; a negative weight subtracts.

    AdaMergeX: the task in the target language is the task in the source language, plus what separates the two
    languages on a reference task. With weights 1, t and −t on models of (task, source language), (reference task,
    target language) and (reference task, source language) this is its rule for LoRA, on whole weights; the paper selects
    t on validation data. Its rule for (IA)³, a quotient, is not covered. Weights are not scaled to the sum 1. Heads of
    different tasks cannot be added: take the first model's with the policy `source:NAME`. Tensors that are left to the
    mean get that of the sources with weights above 0.

    base     [*s] pretrained weights, float32
    deltas   [k, *s] task vectors
    weights  [k], of any sign
    returns  [*s]
    """
    return added(base, deltas, weights, scale)
