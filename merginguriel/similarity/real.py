"""REAL similarity, a column of the N×N matrix, and REAL-row, a row of it.

Scores are on development data under the metric of the study, turned so that higher is better.
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


@similarity(
    "REAL-row", needs="accuracy", historical=True,
    doc="score of the target's own model on the source's development data",
)  # fmt: skip
def real_row(sources: Sequence[str], targets: Sequence[str], inputs: Inputs) -> np.ndarray:
    """Return the transposed scores [sources, targets], which the original study called REAL.

    Raises:
        UnavailableError: there are no scores, or none of one of the sources.
    """
    return real(targets, sources, inputs).T
