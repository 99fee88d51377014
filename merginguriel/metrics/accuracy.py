"""Accuracy: share of items whose label is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .registry import metric

if TYPE_CHECKING:
    import numpy as np


@metric("accuracy", doc="share of items whose label is right")
def accuracy(gold: Sequence[str], predicted: Sequence[str]) -> np.ndarray:
    """Return bool [n]: is the predicted label the gold one?"""
    import numpy as np

    return np.array([a == b for a, b in zip(gold, predicted, strict=True)], dtype=bool)
