"""Macro-F1: mean over labels of the harmonic mean of precision and recall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .registry import metric

if TYPE_CHECKING:
    import numpy as np


def macro(sums: np.ndarray) -> np.ndarray:
    """Macro-F1 [d] from sums [d, 3 L]: right, predicted and gold items of each label.

    Labels that are neither predicted nor gold are left out, as scikit-learn's `f1_score(average="macro")` does.
    """
    import numpy as np

    right, predicted, gold = np.split(sums, 3, axis=-1)
    size = predicted + gold
    f1 = np.divide(2 * right, size, out=np.zeros_like(size, dtype=float), where=size > 0)
    return f1.sum(axis=-1) / np.maximum((size > 0).sum(axis=-1), 1)


@metric("macro_f1", doc="mean over labels of F1", of_sums=macro)
def macro_f1(gold: Sequence[str], predicted: Sequence[str]) -> np.ndarray:
    """Return float [n, 3 L] for the L labels that occur: right, predicted, gold."""
    import numpy as np

    labels = np.array(sorted({*gold, *predicted}))
    of_gold = np.asarray(gold)[:, None] == labels
    of_predicted = np.asarray(predicted)[:, None] == labels
    return np.concatenate([of_gold & of_predicted, of_predicted, of_gold], axis=1).astype(float)
