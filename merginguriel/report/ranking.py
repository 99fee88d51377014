"""Which methods rank apart over many targets? Friedman, Nemenyi, and Wilcoxon with Holm (Demšar 2006, JMLR 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import erfc, exp, isnan, lgamma, log, log1p, pi, sqrt

import numpy as np

from merginguriel import stats
from merginguriel.evaluation.significance import sign_flip_p


@dataclass(frozen=True)
class Pair:
    """Methods a and b by index, their difference of mean ranks, and p of both tests; p_holm over all pairs."""

    a: int
    b: int
    ranks: float
    p_nemenyi: float
    p_wilcoxon: float
    p_holm: float


@dataclass(frozen=True)
class Ranking:
    """Methods, best mean rank first, over targets.

    values    [targets, methods] accuracies, columns in the order of `methods`
    mean      [methods] mean ranks; 1 is best
    chi2, p   Friedman's test, corrected for ties, that all methods rank alike; p_f: Iman & Davenport's F of it
    critical  Nemenyi's critical difference of mean ranks at `alpha`
    """

    methods: tuple[str, ...]
    targets: tuple[str, ...]
    values: np.ndarray
    mean: np.ndarray
    chi2: float
    p: float
    p_f: float
    critical: float
    alpha: float
    pairs: tuple[Pair, ...]

    def cliques(self, test: str) -> list[tuple[int, int]]:
        """Longest runs (first, last) of methods of which no two rank apart, by `nemenyi` or `wilcoxon`."""
        apart = {
            (pair.a, pair.b)
            for pair in self.pairs
            if (pair.ranks >= self.critical if test == "nemenyi" else pair.p_holm < self.alpha)
        }
        found: list[tuple[int, int]] = []
        for first in range(len(self.methods)):
            last = first
            while last + 1 < len(self.methods) and not any(
                (i, last + 1) in apart for i in range(first, last + 1)
            ):
                last += 1
            if last > first and (not found or last > found[-1][1]):
                found.append((first, last))
        return found


def rank(table: Mapping[str, Mapping[str, float]], *, alpha: float = 0.05) -> Ranking | None:
    """Rank methods over targets. table: method → target → accuracy, where every target has every method.

    None with fewer than two methods or two targets, which have no order to speak of.
    """
    names = sorted(table)
    targets = sorted(set.intersection(*(set(table[name]) for name in names))) if names else []
    if len(names) < 2 or len(targets) < 2:
        return None
    values = np.array([[table[name][target] for name in names] for target in targets])
    ranks = np.array([stats.midranks((-np.round(row, 9)).tolist()) for row in values])
    mean = ranks.mean(axis=0)
    order = sorted(range(len(names)), key=lambda i: (mean[i], names[i]))
    values, mean = values[:, order], mean[order]
    chi2 = friedman(ranks)
    n, k = ranks.shape
    # Friedman's chi² reaches n (k − 1) where every target agrees: F is infinite there.
    f = (n - 1) * chi2 / (n * (k - 1) - chi2) if chi2 < n * (k - 1) * (1 - 1e-12) else float("inf")
    unit = sqrt(k * (k + 1) / (6 * n))
    found = list(combinations(range(k), 2))
    wilcoxons = [wilcoxon_p(values[:, a] - values[:, b]) for a, b in found]
    pairs = tuple(
        Pair(
            a,
            b,
            float(mean[b] - mean[a]),
            studentized_range_sf((mean[b] - mean[a]) / unit * sqrt(2), k),
            w,
            h,
        )
        for (a, b), w, h in zip(found, wilcoxons, stats.holm(wilcoxons), strict=True)
    )
    return Ranking(
        tuple(names[i] for i in order), tuple(targets), values, mean, chi2, chi2_sf(chi2, k - 1),
        f_sf(f, k - 1, (k - 1) * (n - 1)), studentized_range_isf(alpha, k) / sqrt(2) * unit, alpha, pairs,
    )  # fmt: skip


def complete(table: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """The largest part of the table in which every target has every method: most cells, then most targets.

    Looked for among the methods that were scored on the most targets, which need not find the very largest.
    """
    order = sorted(table, key=lambda name: (-len(table[name]), name))
    best: tuple[tuple[int, int], list[str], set[str]] = ((0, 0), [], set())
    common: set[str] = set()
    for count, name in enumerate(order, start=1):
        common = set(table[name]) if count == 1 else common & set(table[name])
        size = (count * len(common), len(common))
        if count > 1 and len(common) > 1 and size > best[0]:
            best = (size, order[:count], set(common))
    return {name: {target: table[name][target] for target in best[2]} for name in best[1]}


def friedman(ranks: np.ndarray) -> float:
    """Friedman's chi² of ranks [targets, methods], corrected for ties (Hollander & Wolfe 1999, eq. 7.8)."""
    n, k = ranks.shape
    sums = ranks.sum(axis=0)
    ties = sum(float((c**3 - c).sum()) for row in ranks for c in [np.unique(row, return_counts=True)[1]])
    below = n * k * (k + 1) - ties / (k - 1)
    above = 12 * float((sums**2).sum()) - 3 * n**2 * k * (k + 1) ** 2
    return max(0.0, above / below) if below > 0 else 0.0


def wilcoxon_p(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test: exact, ties by mid-ranks, zeros dropped.

    A sign-flip test of the ranks, doubled so that they are whole numbers.
    """
    d = np.round(differences, 9)
    d = d[d != 0]
    if not len(d):
        return 1.0
    doubled = np.array([round(2 * rank) for rank in stats.midranks(np.abs(d).tolist())])
    return sign_flip_p(np.where(d > 0, doubled, -doubled))


def spearman(x: Sequence[float], y: Sequence[float], *, draws: int = 10_000) -> tuple[float, float]:
    """Rank correlation and its two-sided permutation p, the observed order counted among the draws.

    0 and 1 where either does not vary.
    """
    rho = stats.spearman(x, y)
    if isnan(rho):
        return 0.0, 1.0
    a, b = (np.array(stats.midranks(side)) - (len(side) + 1) / 2 for side in (x, y))
    rng = np.random.default_rng(0)
    drawn = np.array([rng.permutation(a) for _ in range(draws)]) @ b / sqrt(float(a @ a) * float(b @ b))
    return rho, float(1 + (np.abs(drawn) >= abs(rho) - 1e-12).sum()) / (1 + draws)


# distributions


def studentized_range_sf(q: float, k: int) -> float:
    """P(the range of k standard normals ≥ q): Tukey's studentized range with infinite degrees of freedom.

    1 − k ∫ φ(z) [Φ(z) − Φ(z − q)]^(k−1) dz, by the trapezoid rule, which for such an integrand is as good as exact.
    """
    if q <= 0:
        return 1.0
    z, density, below = _grid()
    inside = below - np.array([erfc(-(x - q) / sqrt(2)) / 2 for x in z])
    return float(
        min(1.0, max(0.0, 1 - k * np.sum(density * np.clip(inside, 0, 1) ** (k - 1)) * (z[1] - z[0])))
    )


@cache
def _grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z, φ(z), Φ(z)."""
    z = np.linspace(-9, 9, 361)
    below = np.array([erfc(-x / sqrt(2)) / 2 for x in z])
    return z, np.exp(-(z**2) / 2) / sqrt(2 * pi), below


@cache
def studentized_range_isf(alpha: float, k: int) -> float:
    """The q that the range of k standard normals exceeds with probability alpha. Halving an interval."""
    low, high = 0.0, 20.0
    for _ in range(45):
        middle = (low + high) / 2
        low, high = (middle, high) if studentized_range_sf(middle, k) > alpha else (low, middle)
    return (low + high) / 2


def chi2_sf(x: float, df: int) -> float:
    """P(chi² with df degrees of freedom ≥ x): a finite sum (Abramowitz & Stegun 1964, 26.4.4 and 26.4.5)."""
    if x <= 0:
        return 1.0
    half = x / 2
    total = erfc(sqrt(half)) if df % 2 else exp(-half)
    power = 0.5 if df % 2 else 1.0
    while power < df / 2:
        total += exp(power * log(half) - half - lgamma(power + 1))
        power += 1
    return min(1.0, total)


def f_sf(x: float, a: int, b: int) -> float:
    """P(F with a and b degrees of freedom ≥ x)."""
    if x <= 0:
        return 1.0
    if x == float("inf"):
        return 0.0
    return incomplete_beta(b / (b + a * x), b / 2, a / 2)


def incomplete_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b), by its continued fraction (Abramowitz & Stegun 1964, 26.5.8; Lentz's method)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    tiny = 1e-300
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    total = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = total
        for step in (even, odd):
            d = 1 / (1 + step * d or tiny)
            c = 1 + step / c or tiny
            total *= c * d
        if abs(total - before) < 1e-15 * abs(total):
            break
    return front * total
