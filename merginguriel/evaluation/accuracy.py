"""How sure is one accuracy? Its interval, where sentences that are variants of each other do not count twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from merginguriel import stats


def accuracy_interval(
    right: np.ndarray, groups: Sequence[str] | None = None, *, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the accuracy of `right`, bool [n]; groups [n]: items of one name are variants of each other.

    Wilson's at the effective number of items: n over the design effect, the variance with whole groups drawn
    over the one with single items drawn (Kish 1965, ch. 8; Korn & Graubard 1998). Both ends are fractions.
    """
    return stats.wilson_interval(float(right.mean()), effective_items(right, groups), level)


def effective_items(right: np.ndarray, groups: Sequence[str] | None = None) -> int:
    """As many independent items would say as much as these n do."""
    n = len(right)
    if groups is None or len(set(groups)) == n:
        return n
    _, index = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    sizes = np.bincount(index)
    count, mean = len(sizes), float(right.mean())
    if count < 2 or mean in (0.0, 1.0):
        return count  # no variance to estimate it from: the careful answer
    errors = np.bincount(index, weights=right) - mean * sizes
    # Linearised ratio estimator, as for differences: groups vary in size (Cochran 1977, ch. 6).
    variance = float((errors**2).sum()) / n**2 * count / (count - 1)
    return min(n, max(1, round(mean * (1 - mean) / variance))) if variance else n
