"""Differences between result rows, and their mean over targets with its noise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from merginguriel import stats
from merginguriel.knowledge.parse.claims import Claim, in_scope
from merginguriel.knowledge.parse.rows import MEASURES, ResultRow, distinct
from merginguriel.metrics import registry as metrics

# In points of a hundred and their square; no variance where n is not given.
Difference = tuple[float, float | None, tuple[ResultRow, ...]]


def differences(claim: Claim, rows: Iterable[ResultRow]) -> list[Difference]:
    """Return (difference, variance, rows) of every comparison that a claim and `rows` allow, each measurement once.

    Of several metrics, the one with the most comparisons counts; differences are in hundredths of its unit, above 0 where
    the first side is better.
    """
    # Cheap tests first: of a thousand rows for each of fifty claims, these three leave a few.
    contexts, methods, targets = (claim.scope.get(key) for key in ("context", "method", "target"))
    usable = distinct(
        row
        for row in rows
        if (contexts is None or row.context in contexts)
        and (methods is None or row.method in methods)
        and (targets is None or row.target in targets)
        and row.status == "current"
        and (row.metric not in MEASURES or row.metric == "ndcg@10")
        and in_scope(row, claim.scope)
    )
    result = _pairs(claim, usable) if claim.predicate == "prefers" else _gains(claim, usable)
    by_metric: dict[str, list[Difference]] = {}
    for difference in result:
        by_metric.setdefault(difference[2][0].metric, []).append(difference)
    return max(by_metric.values(), key=len, default=[])


def _gains(claim: Claim, usable: Sequence[ResultRow]) -> list[Difference]:
    """Compare each row with its own baseline of the kind that the claim names."""
    return [
        (100 * row.sign * (row.value - row.baseline), row.variance_pp, (row,))
        for row in usable
        if row.baseline_kind == claim.over and row.baseline is not None
    ]


def _pairs(claim: Claim, usable: Sequence[ResultRow]) -> list[Difference]:
    """Compare each row of the preferred side with each of the other that is alike in all that is not named."""
    named = {*claim.prefer, *claim.over_scope}
    alike = ("context", "target", "mode", "method", "similarity", "k", "metric", "n", "seed")
    shared = [key for key in alike if key not in named]
    sides: dict[tuple[object, ...], tuple[dict[object, ResultRow], dict[object, ResultRow]]] = {}
    for row in usable:
        key = tuple(getattr(row, name) for name in shared)
        for side, scope in enumerate((claim.prefer, claim.over_scope)):
            if in_scope(row, scope):
                sides.setdefault(key, ({}, {}))[side][row.measurement()] = row
    result: list[Difference] = []
    for better, worse in sides.values():
        for a in better.values():
            for b in worse.values():
                variance = None
                if a.n and a.metric not in MEASURES:
                    of_one = metrics.find(a.metric).unit.variance
                    variance = 1e4 * max(of_one(a.value, a.n) + of_one(b.value, a.n), 1 / a.n**2)
                result.append((100 * a.sign * (a.value - b.value), variance, (a, b)))
    return result


FEWEST_ALIKE = 3  # targets that must each show it


@dataclass(frozen=True)
class Pool:
    """Mean of differences, its standard error (None where no row gives n) and the spread between targets, in pp."""

    mean: float
    se: float | None
    spread: float
    targets: int = 1
    worst_p: float = 1.0  # the largest of the targets' own; 1 where they do not agree in sign

    @property
    def p(self) -> float | None:
        """Return the two-sided p value of a mean of 0; None without noise.

        Where the spread between targets is part of the standard error, it was estimated from these few: Student's t
        with targets − 1 degrees of freedom (Hartung & Knapp 2001). That wastes what three or more targets say of which
        each shows it beyond its own noise, however much they differ in size: then the largest of their p stands
        (intersection–union test, Berger 1982). Without a spread the noise is known, and the mean normal.
        """
        if not self.se:
            return None
        if self.spread:
            p = stats.student_two_sided_p(self.mean / self.se, self.targets - 1)
            return min(p, self.worst_p) if self.targets >= FEWEST_ALIKE else p
        return stats.two_sided_p(self.mean / self.se)


def pooled(result: Sequence[Difference]) -> Pool:
    """Return the mean over targets of the differences whose noise is known; of all where none is.

    Comparisons that share a row (the same baseline) are not independent; counting them as such would make many
    comparisons with one lucky baseline look certain. A target's comparisons therefore count as one. Targets differ
    in truth as well as by noise: the spread between them (DerSimonian & Laird 1986, eq. 8) is part of the standard
    error of their mean, so that one extreme target does not make all of them look sure.
    """
    known = [d for d in result if d[1] is not None]
    by_target: dict[tuple[str, str], list[Difference]] = {}
    for difference in known or result:
        row = difference[2][0]
        by_target.setdefault((row.context, row.target), []).append(difference)
    groups = by_target.values()
    means = [sum(d[0] for d in group) / len(group) for group in groups]
    mean = sum(means) / len(means)
    if not known:
        return Pool(mean, None, 0.0)
    variances = [sum(d[1] or 0.0 for d in group) / len(group) for group in groups]
    between = _between(means, variances)
    se = sqrt(sum(v + between for v in variances)) / len(means)
    alike = all(m * mean > 0 for m in means)
    worst = (
        max(stats.two_sided_p(m / sqrt(v)) for m, v in zip(means, variances, strict=True)) if alike else 1.0
    )
    return Pool(mean, se, sqrt(between), len(means), worst)


def _between(means: Sequence[float], variances: Sequence[float]) -> float:
    """Return the variance between targets in pp², beyond their own noise (DerSimonian & Laird 1986, eq. 8)."""
    if len(means) == 1:
        return 0.0  # exactly, whatever the sums round to
    weights = [1 / v for v in variances]
    total = sum(weights)
    centre = sum(w * m for w, m in zip(weights, means, strict=True)) / total
    q = sum(w * (m - centre) ** 2 for w, m in zip(weights, means, strict=True))
    scale = total - sum(w * w for w in weights) / total
    return max(0.0, (q - (len(means) - 1)) / scale) if scale > 0 else 0.0
