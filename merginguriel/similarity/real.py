"""REAL similarity: score of a source's model on the target's development data.

It is a column of the N×N matrix, under the metric of the study, turned so that higher is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from merginguriel.errors import UnavailableError

from .registry import Inputs, similarity

if TYPE_CHECKING:
    import numpy as np


@similarity("REAL", needs="accuracy", doc="score of the source's model on the target's development data")
def real(sources: Sequence[str], targets: Sequence[str], inputs: Inputs) -> np.ndarray:
    """Return scores [sources, targets]; NaN where a pair was not measured.

    Raises:
        UnavailableError: there are no scores, or none of one of the targets.
    """
    import numpy as np

    if inputs.accuracy is None:
        raise UnavailableError("REAL similarity needs an N×N matrix on development data.", hint="See: mu nxn")
    table = inputs.accuracy(targets)
    return np.array([[table.get(s, {}).get(t, np.nan) for t in targets] for s in sources], float)
