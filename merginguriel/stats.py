"""How large is the noise of an accuracy, and what difference can a test set see? Closed forms, no arrays.

All values are fractions (0.01 is one percentage point).
"""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist

NORMAL = NormalDist()


def proportion_variance(p: float, n: int) -> float:
    """Sampling variance of an accuracy `p` measured on `n` items (binomial)."""
    return p * (1 - p) / n


def unpaired_variance(a: float, b: float, n: int) -> float:
    """Variance of a − b when which items each got right was not recorded: binomial, taken as independent.

    On the same items this is an upper bound unless errors are negatively correlated.
    """
    return proportion_variance(a, n) + proportion_variance(b, n)


def paired_variance(only_a: int, only_b: int, n: int) -> float:
    """Variance of a − b from the discordant items: only A right, only B right, of n."""
    difference = (only_a - only_b) / n
    return ((only_a + only_b) / n - difference**2) / n


def minimum_detectable_effect(variance: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true difference that a two-sided test at `alpha` finds with probability `power`.

    `variance` is that of the measured difference. (z₁₋α⁄₂ + z_power) · σ; Cohen 1988, ch. 2.
    """
    return (NORMAL.inv_cdf(1 - alpha / 2) + NORMAL.inv_cdf(power)) * sqrt(variance)


def two_sided_p(z: float) -> float:
    """P(|Z| ≥ |z|) for a standard normal Z."""
    return 2 * (1 - NORMAL.cdf(abs(z)))


def exact_mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact p-value that A and B are equally often the only one right (McNemar 1947)."""
    n = only_a + only_b
    if n == 0:
        return 1.0
    # Each binomial coefficient from the one before: from scratch, ten thousand of them take half a minute.
    tail = coefficient = 1
    for i in range(min(only_a, only_b)):
        coefficient = coefficient * (n - i) // (i + 1)
        tail += coefficient
    return min(1.0, 2 * tail / 2**n)


def wilson_interval(p: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of an accuracy (Wilson 1927, eq. 2 of Brown, Cai & DasGupta 2001)."""
    z = NORMAL.inv_cdf(0.5 + level / 2)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)
