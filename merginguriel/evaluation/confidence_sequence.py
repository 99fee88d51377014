"""Anytime-valid confidence sequence of a paired difference, and the outcome that it allows at any time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Outcome = Literal["better", "equivalent", "worse", "undecided"]
GRID = 2001  # candidate means: bounds are exact to 0.1 pp
TRUNCATION = 0.5  # largest share of the wealth that one unit can cost


@dataclass(frozen=True)
class Bounds:
    """Bounds of the mean difference after the units seen so far, in pp."""

    low_pp: float
    high_pp: float
    mean_pp: float
    units: int

    def outcome(self, margin_pp: float) -> Outcome:
        """Return what the bounds prove; `equivalent`: the difference is within the margin."""
        if self.low_pp > 0:
            return "better"
        if self.high_pp < 0:
            return "worse"
        if -margin_pp <= self.low_pp and self.high_pp <= margin_pp:
            return "equivalent"
        return "undecided"


def bounds(differences: np.ndarray, alpha: float = 0.05) -> Bounds:
    """Return the hedged betting confidence sequence of a mean, at its last unit.

    The probability that the true mean leaves the bounds at any time is at most `alpha`, however often they are looked
    at and whatever the rule that stops (Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by
    betting", J. R. Stat. Soc. B 86(1), section 4.4, with the predictable plug-in bets of equation 26).

    Args:
        differences: [n] of independent units in the order in which they were drawn, each from −1 to 1.
    """
    x = (np.asarray(differences, dtype=float) + 1) / 2
    n = len(x)
    means = np.linspace(0, 1, GRID)
    if not n:
        return Bounds(-100.0, 100.0, 0.0, 0)
    count = np.arange(1, n + 1)
    running = (0.5 + np.cumsum(x)) / (count + 1)
    variance = (0.25 + np.cumsum((x - running) ** 2)) / (count + 1)
    before = np.concatenate([[0.25], variance[:-1]])  # a bet uses earlier units only
    bets = np.sqrt(2 * np.log(2 / alpha) / (before * count * np.log(1 + count)))
    with np.errstate(divide="ignore"):
        up = np.minimum(bets[:, None], TRUNCATION / means)
        down = np.minimum(bets[:, None], TRUNCATION / (1 - means))
    gap = x[:, None] - means
    wealth = np.cumsum(np.log1p(up * gap), axis=0), np.cumsum(np.log1p(-down * gap), axis=0)
    # The wealth against a mean that is too low grows in the first process, against one that is too high in the second.
    inside = (np.maximum(*wealth) + np.log(0.5) < np.log(1 / alpha)).all(axis=0)
    possible = np.flatnonzero(inside)
    mean = 100 * float(np.mean(differences))
    if not possible.size:
        return Bounds(mean, mean, mean, n)
    step = means[1]  # the bounds lie between a mean that is excluded and one that is not
    low, high = max(means[possible[0]] - step, 0.0), min(means[possible[-1]] + step, 1.0)
    return Bounds(100 * float(2 * low - 1), 100 * float(2 * high - 1), mean, n)


def by_group(differences: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Return the mean difference of each group, in the order of their first items: variants of a template are one unit."""
    index: dict[str, list[int]] = {}
    for i, name in enumerate(groups):
        index.setdefault(name or f"item {i}", []).append(i)
    return np.array([np.mean(np.asarray(differences, dtype=float)[rows]) for rows in index.values()])
