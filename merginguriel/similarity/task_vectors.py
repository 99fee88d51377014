"""Similarities of models: cosine of task vectors, and CKA of hidden states.

To a target they compare its own model with each source's. In a product (`REAL×cosine`) they compare the sources with
each other. The models are read by `inputs.fit`, which the caller supplies, so that this package needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merginguriel.errors import UnavailableError

from .registry import Inputs, similarity

if TYPE_CHECKING:
    import numpy as np


@similarity("cosine", needs="models", doc="cosine of the task vectors of source and target")
def cosine(sources: Sequence[str], targets: Sequence[str], inputs: Inputs) -> np.ndarray:
    """Return cosines [sources, targets], −1 to 1."""
    return _between(sources, targets, inputs, "cosine")


@similarity("CKA", needs="models", doc="linear CKA of the hidden states of source and target")
def cka(sources: Sequence[str], targets: Sequence[str], inputs: Inputs) -> np.ndarray:
    """Return CKA [sources, targets], 0 to 1."""
    return _between(sources, targets, inputs, "CKA")


def _between(sources: Sequence[str], targets: Sequence[str], inputs: Inputs, measure: str) -> np.ndarray:
    import numpy as np

    if inputs.fit is None:
        raise UnavailableError(f"similarity {measure} is measured on models, and none is available here.")
    every = list(dict.fromkeys([*sources, *targets]))
    square = np.asarray(inputs.fit(measure, every), float)
    return square[np.ix_([every.index(s) for s in sources], [every.index(t) for t in targets])]
