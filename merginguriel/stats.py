"""Noise of an accuracy and detectable differences, in closed forms without arrays.

Values are fractions (0.01 is one percentage point) unless stated otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import atan, cos, erfc, exp, log, nan, pi, sin, sqrt, tan


class _Normal:
    """The standard normal distribution; importing `statistics.NormalDist` would slow `mu advise` by a tenth."""

    @staticmethod
    def pdf(x: float) -> float:
        """Return the density at x."""
        return exp(-x * x / 2) / sqrt(2 * pi)

    @staticmethod
    def cdf(x: float) -> float:
        """Return P(X ≤ x)."""
        return erfc(-x / sqrt(2)) / 2

    @staticmethod
    def inv_cdf(p: float) -> float:
        """Return x with cdf(x) = p, for 0 < p < 1. Newton steps from Abramowitz & Stegun 1964, 26.2.23."""
        if not 0 < p < 1:
            raise ValueError(f"a probability between 0 and 1 is needed, not {p}")
        if p == 0.5:
            return 0.0
        tail = min(p, 1 - p)
        t = sqrt(-2 * log(tail))
        x = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (
            1 + t * (1.432788 + t * (0.189269 + t * 0.001308))
        )
        for _ in range(4):
            x += (_Normal.cdf(-x) - tail) / _Normal.pdf(x)
        return x if p > 0.5 else -x


NORMAL = _Normal()


def proportion_variance(p: float, n: int) -> float:
    """Return the sampling variance of an accuracy `p` measured on `n` items (binomial)."""
    return p * (1 - p) / n


def rank_correlation_variance(r: float, n: int) -> float:
    """Return the sampling variance of Spearman's `r` over `n` ≥ 4 pairs (Bonett & Wright 2000, eq. 3; delta method)."""
    return (1 - r * r) ** 2 * (1 + r * r / 2) / max(n - 3, 1)


def unpaired_variance(a: float, b: float, n: int) -> float:
    """Return the variance of a − b without per-item results: binomial, assumed independent.

    On the same items this is an upper bound unless errors are negatively correlated.
    """
    return proportion_variance(a, n) + proportion_variance(b, n)


def paired_variance(only_a: int, only_b: int, n: int) -> float:
    """Return the variance of a − b from the discordant items: only A right, only B right, of n."""
    difference = (only_a - only_b) / n
    return ((only_a + only_b) / n - difference**2) / n


def student_inv_cdf(p: float, df: int) -> float:
    """Return t with P(T ≤ t) = p, for 0 < p < 1, where T has `df` degrees of freedom, a whole number from 1.

    Halving an interval of the angle θ = arctan(t/√df), in which the distribution is a finite sum
    (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4).
    """
    if not 0 < p < 1 or df < 1:
        raise ValueError(f"a probability between 0 and 1 and df from 1 are needed, not {p} and {df}")
    within, low, high = abs(2 * p - 1), 0.0, pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        low, high = (angle, high) if _student_within(angle, df) < within else (low, angle)
    return sqrt(df) * tan(low) * (1 if p >= 0.5 else -1)


def student_two_sided_p(t: float, df: int) -> float:
    """Return P(|T| ≥ |t|) where T has `df` degrees of freedom, a whole number from 1."""
    return max(0.0, 1 - _student_within(atan(abs(t) / sqrt(df)), df))


def _student_within(angle: float, df: int) -> float:
    """P(|T| ≤ √df · tan(angle))."""
    odd = df % 2
    term = total = 0.0 if df == 1 else cos(angle) if odd else 1.0
    for i in range(2 + odd, df, 2):
        term *= (i - 1) / i * cos(angle) ** 2
        total += term
    return 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total


def satterthwaite(terms: Iterable[tuple[float, float]]) -> float:
    """Return the degrees of freedom of a sum of mean squares. terms: (share of the sum, own degrees of freedom).

    Satterthwaite 1946: (Σ m)² / Σ m²/df. A share may be negative; at least one is not zero. Round down where a
    whole number is needed: that is conservative.
    """
    each = list(terms)
    return float(sum(m for m, _ in each) ** 2 / sum(m**2 / df for m, df in each))


def minimum_detectable_effect(
    variance: float, *, alpha: float = 0.05, power: float = 0.8, groups: int | None = None
) -> float:
    """Return the smallest true difference that a two-sided test at `alpha` finds with probability `power`.

    `variance` is that of the measured difference. (z₁₋α⁄₂ + z_power) · σ; Cohen 1988, ch. 2. Where the variance was
    estimated from a few `groups`, Student's t with groups − 1 degrees of freedom replaces z.
    """
    levels = (1 - alpha / 2, power)
    quantiles = (student_inv_cdf(p, groups - 1) if groups else NORMAL.inv_cdf(p) for p in levels)
    return sum(quantiles) * sqrt(variance)


def two_sided_p(z: float) -> float:
    """Return P(|Z| ≥ |z|) for a standard normal Z. Exact in the far tail too, where 2 · (1 − cdf) would be 0."""
    return erfc(abs(z) / sqrt(2))


def p_text(p: float) -> str:
    """Return `p = 0.023` or `p < 0.001`: no measured p is 0."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def holm(p: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for all of these tests, in the order given (Holm 1979)."""
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = highest
    return adjusted


def midranks(values: Sequence[float]) -> list[float]:
    """Return ranks from 1, smallest first; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    found, first = [0.0] * len(order), 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for i in order[first : last + 1]:
            found[i] = (first + last) / 2 + 1
        first = last + 1
    return found


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the correlation of the mid-ranks of both, −1 … 1; NaN where one side is constant."""
    middle = (len(a) + 1) / 2
    x, y = ([rank - middle for rank in midranks(side)] for side in (a, b))
    scale = sqrt(sum(r * r for r in x) * sum(r * r for r in y))
    return max(-1.0, min(1.0, sum(r * s for r, s in zip(x, y, strict=True)) / scale)) if scale else nan


def exact_mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided exact p-value that A and B are equally often the only one right (McNemar 1947)."""
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
    """Return the interval of an accuracy (Wilson 1927, eq. 2 of Brown, Cai & DasGupta 2001)."""
    z = NORMAL.inv_cdf(0.5 + level / 2)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)
