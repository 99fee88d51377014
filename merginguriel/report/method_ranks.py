"""Friedman, Nemenyi and Wilcoxon tests of methods ranked over many targets (Demšar 2006, JMLR 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

import numpy as np
import pandas as pd
from scipy.stats import chi2, f, rankdata, studentized_range

from merginguriel import stats
from merginguriel.evaluation.significance import sign_flip_p


@dataclass(frozen=True)
class MethodPair:
    """Two methods and the tests of their difference.

    Attributes:
        a: Index of the method with the better mean rank.
        b: Index of the other method.
        ranks: Difference of the mean ranks, 0 or more.
        p_nemenyi: p of Nemenyi's test.
        p_wilcoxon: p of Wilcoxon's signed-rank test.
        p_holm: `p_wilcoxon` after Holm's correction over all pairs.
    """

    a: int
    b: int
    ranks: float
    p_nemenyi: float
    p_wilcoxon: float
    p_holm: float


@dataclass(frozen=True)
class Ranking:
    """Methods over targets, best mean rank first.

    Attributes:
        methods: Names, in the order of their mean ranks.
        values: float [targets, methods], in the unit of the metric.
        mean: float [methods], mean ranks; 1 is best.
        chi2: Friedman's statistic, corrected for ties.
        p: p of `chi2` under the hypothesis that all methods rank alike.
        p_f: p of Iman and Davenport's F, which is derived from `chi2`.
        critical: Nemenyi's critical difference of mean ranks at `alpha`.
        pairs: Every two methods.
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
    pairs: tuple[MethodPair, ...]

    def cliques(self, test: str) -> list[tuple[int, int]]:
        """Return the longest runs (first, last) of methods of which no two rank apart."""
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


def rank(
    table: Mapping[str, Mapping[str, float]], *, higher_is_better: bool = True, alpha: float = 0.05
) -> Ranking | None:
    """Rank methods over the targets on which all of them were scored.

    Args:
        table: Method → target → value of the metric.

    Returns:
        The ranking; None with fewer than two methods or two targets.
    """
    values = pd.DataFrame(table).sort_index().sort_index(axis=1).dropna()
    n, k = values.shape
    if k < 2 or n < 2:
        return None
    ranks = values.round(9).rank(axis=1, ascending=not higher_is_better)
    mean = ranks.mean().sort_values(kind="stable")
    values, ranks = values[mean.index], ranks[mean.index].to_numpy()
    statistic = friedman(ranks)
    # The statistic reaches n (k − 1) where every target agrees: F is infinite there.
    rest = n * (k - 1) - statistic
    iman = (n - 1) * statistic / rest if rest > n * (k - 1) * 1e-12 else np.inf
    unit = sqrt(k * (k + 1) / (6 * n))
    found = list(combinations(range(k), 2))
    apart = [float(mean.iloc[b] - mean.iloc[a]) for a, b in found]
    nemenyi = studentized_range.sf(np.array(apart) / unit * sqrt(2), k, np.inf)
    each = values.to_numpy()
    wilcoxon = [wilcoxon_p(each[:, a] - each[:, b]) for a, b in found]
    pairs = (
        MethodPair(a, b, ranks_apart, float(p), w, holm)
        for (a, b), ranks_apart, p, w, holm in zip(
            found, apart, nemenyi, wilcoxon, stats.holm(wilcoxon), strict=True
        )
    )
    return Ranking(
        tuple(values.columns), tuple(values.index), each, mean.to_numpy(), statistic, float(chi2.sf(statistic, k - 1)),
        float(f.sf(iman, k - 1, (k - 1) * (n - 1))), float(studentized_range.isf(alpha, k, np.inf)) / sqrt(2) * unit,
        alpha, tuple(pairs),
    )  # fmt: skip


def complete(table: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return a large part of the table in which every target has every method: most cells, then most targets.

    The search goes through the methods in the order of how many targets they were scored on, and need not find the
    largest part.
    """
    values = pd.DataFrame(table)
    order = sorted(values, key=lambda name: (-values[name].count(), name))
    parts = [values[order[:count]].dropna() for count in range(2, len(order) + 1)]
    best = max(parts, key=lambda part: (part.size, len(part)), default=values.iloc[:0])
    return {} if len(best) < 2 else {str(name): dict(column) for name, column in best.items()}


def friedman(ranks: np.ndarray) -> float:
    """Return Friedman's statistic of ranks [targets, methods], corrected for ties.

    Hollander & Wolfe 1999, eq. 7.8. scipy's `friedmanchisquare` refuses two methods.
    """
    n, k = ranks.shape
    ties = sum(float((c**3 - c).sum()) for row in ranks for c in [np.unique(row, return_counts=True)[1]])
    below = n * k * (k + 1) - ties / (k - 1)
    above = 12 * float((ranks.sum(axis=0) ** 2).sum()) - 3 * n**2 * k * (k + 1) ** 2
    return max(0.0, above / below) if below > 0 else 0.0


def wilcoxon_p(differences: np.ndarray) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test: exact, ties by mid-ranks, zeros dropped.

    A sign-flip test of the ranks, doubled so that they are whole numbers. (scipy's exact test does not cover ties.)
    """
    d = np.round(differences, 9)
    d = d[d != 0]
    doubled = np.round(2 * rankdata(np.abs(d))).astype(int)
    return sign_flip_p(np.where(d > 0, doubled, -doubled)) if len(d) else 1.0


def spearman(x: Sequence[float], y: Sequence[float], *, draws: int = 10_000) -> tuple[float, float]:
    """Return the rank correlation and its two-sided permutation p, the observed order counted among the draws.

    0 and 1 where either side is constant.
    """
    a, b = (rankdata(side) - (len(side) + 1) / 2 for side in (x, y))
    scale = sqrt(float(a @ a) * float(b @ b))
    if not scale:
        return 0.0, 1.0
    rho = float(a @ b) / scale
    rng = np.random.default_rng(0)
    drawn = np.array([rng.permutation(a) for _ in range(draws)]) @ b / scale
    return rho, float(1 + (np.abs(drawn) >= abs(rho) - 1e-12).sum()) / (1 + draws)
