"""Paired tests and confidence intervals for two models scored on the same items, and the interval of one value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from merginguriel import stats
from merginguriel.errors import IncompatibleError
from merginguriel.metrics.registry import Metric, find

# Below it, resampling groups understates the noise: with 5 groups, 95% intervals held the truth 86 times of 100.
FEW_GROUPS = 30
# Draws at a time, so that memory does not grow with draws × groups.
CHUNK = 500
DRAWS = 2000  # of the bootstrap of one value
STEP = 1e-4  # change of a weight that a derivative is taken over


@dataclass(frozen=True)
class Interval:
    """Confidence interval in points (hundredths of the metric's unit); level such as 0.95."""

    low: float
    high: float
    level: float


@dataclass(frozen=True)
class Comparison:
    """Comparison of A with B on the same n items; differences in points, A − B: pp for shares such as accuracy or F1.

    wins, losses  items that only A / only B got right; None for a metric whose items are not right or wrong
    p             exact McNemar, which takes the items as independent; for other metrics from the bootstrap
    p_groups      exact sign-flip test over groups of related items, where groups were given: the one to trust then
    interval      of the difference; where se is None, what items that are all alike can say (see `of_alike`)
    se            standard error of the difference; None where these items cannot tell it: fewer than two groups,
                  or all of them alike, as when no item tells A from B. That is not certainty
    mde           smallest true difference that such a comparison finds with 80% probability at 5%; None like se
    """

    n: int
    value_a: float
    value_b: float
    difference: float
    interval: Interval
    wins: int | None
    losses: int | None
    p: float
    p_groups: float | None
    groups: int
    se: float | None
    mde: float | None
    metric: str = "accuracy"

    @property
    def trusted_p(self) -> float:
        """Return the p-value of the test that fits the data."""
        return self.p if self.p_groups is None else self.p_groups

    @property
    def significant(self) -> bool:
        """Return whether the difference is significant at 5%, by the test that fits the data."""
        return self.trusted_p < 0.05

    @property
    def better(self) -> bool:
        """Return whether A has the better value, in the metric's direction."""
        return self.difference * find(self.metric).sign > 0

    @property
    def points(self) -> str:
        """Return the unit of the differences: `pp`, or `pt` for a correlation."""
        return find(self.metric).unit.points


def compare(
    a: np.ndarray,
    b: np.ndarray,
    *,
    metric: str = "accuracy",
    groups: Sequence[str] | None = None,
    draws: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison:
    """Compare A with B on the same items.

    Args:
        a: Statistics of the metric [n] or [n, S], one row per item: for accuracy bool [n], was the item answered rightly.
        groups: [n] names; items of one name are variants of each other.
        draws: Draws of the bootstrap that the interval is from; 0: the interval is that of the standard error (of a metric
            other than accuracy, linearised), which thousands of comparisons can afford. Fewer than FEW_GROUPS groups are
            never drawn for accuracy: Student's t.

    Raises:
        IncompatibleError: The two do not have the same number of items, or none.
    """
    used = find(metric)
    if not used.is_mean or np.asarray(a).dtype != bool:
        return _by_statistics(used, a, b, groups, draws, seed, level)
    d = _difference(a, b)
    n = len(d)
    wins, losses = int((d > 0).sum()), int((d < 0).sum())
    sums, sizes = _by_group(d, groups)
    mean = float(d.mean())
    variance = _variance(d, sums, sizes)
    few = len(sizes) < FEW_GROUPS
    if variance is None:
        interval = of_alike(mean, sizes, level)
    elif few or not draws:
        interval = _by_error(mean, variance, len(sizes), level)
    else:
        interval = paired_bootstrap(a, b, groups=groups, draws=draws, seed=seed, level=level)
    return Comparison(
        n=n,
        value_a=float(np.mean(a)),
        value_b=float(np.mean(b)),
        difference=100 * mean,
        interval=interval,
        wins=wins,
        losses=losses,
        p=stats.exact_mcnemar(wins, losses),
        p_groups=sign_flip_p(sums) if len(sizes) < n else None,
        groups=len(sizes),
        se=None if variance is None else 100 * sqrt(variance),
        mde=_detectable(variance, len(sizes)),
        metric=metric,
    )


def _by_statistics(
    metric: Metric,
    a: np.ndarray,
    b: np.ndarray,
    groups: Sequence[str] | None,
    draws: int,
    seed: int,
    level: float,
) -> Comparison:
    """Compare any metric by the paired bootstrap over items or groups (Efron & Tibshirani 1993, ch. 13).

    p is the share of draws on the other side of no difference, twice, with one draw added to each side. Without draws, and
    with fewer than FEW_GROUPS groups, interval and p are of the standard error.
    """
    a, b = (np.asarray(side, dtype=float) for side in (a, b))
    _check_items(a, b)
    index, sizes = _group_index(len(a), groups)
    value_a, value_b = metric.value(a), metric.value(b)
    difference, count = value_a - value_b, len(sizes)
    if count < 2:
        variance = 0.0
    elif draws:
        spread = np.subtract(*_draws(metric, (a, b), index, count, draws, seed).T)
        # The bootstrap divides by the number of groups.
        variance = float(spread.var(ddof=1)) * count / (count - 1)
    else:
        variance = float((linear(metric, a, groups) - linear(metric, b, groups)).var(ddof=1)) / count
    if variance < 1e-18:
        known, p = None, 1.0
        interval = of_alike(difference, sizes, level)
    elif count < FEW_GROUPS or not draws:
        known, z = variance, difference / sqrt(variance)
        interval = _by_error(difference, known, count, level)
        p = stats.student_two_sided_p(z, count - 1) if count < FEW_GROUPS else stats.two_sided_p(z)
    else:
        known = variance
        interval = percentiles(spread, level)
        least = min(int((spread <= 0).sum()), int((spread >= 0).sum()))
        p = min(1.0, 2 * (least + 1) / (draws + 1))
    return Comparison(
        n=len(a),
        value_a=value_a,
        value_b=value_b,
        difference=100 * difference,
        interval=interval,
        wins=None,
        losses=None,
        p=p,
        p_groups=p if count < len(a) else None,
        groups=count,
        se=None if known is None else 100 * sqrt(known),
        mde=_detectable(known, count),
        metric=metric.name,
    )


def linear(metric: Metric, statistics: np.ndarray, groups: Sequence[str] | None = None) -> np.ndarray:
    """Return one number per item, or per group in the order of their names, [G], whose mean is the metric's value.

    The value plus G times its derivative with respect to the weight of the group (infinitesimal jackknife: Efron &
    Tibshirani 1993, section 22.6): of accuracy with equal groups, the accuracy of each group. Their differences are paired
    as items are, and var / G is the variance of the value.
    """
    index, sizes = _group_index(len(statistics), groups)
    count, value = len(sizes), metric.value(np.asarray(statistics))
    of = resampler(metric, np.asarray(statistics, dtype=float), index, count)
    if metric.is_mean:
        sums = np.bincount(index, weights=np.asarray(statistics, dtype=float))
        return value + count * (sums - value * sizes) / len(statistics)
    slopes = []
    for start in range(0, count, CHUNK):
        here = np.arange(start, min(start + CHUNK, count))
        moved = np.ones((2, len(here), count))
        moved[0, np.arange(len(here)), here] += STEP
        moved[1, np.arange(len(here)), here] -= STEP
        up, down = of(moved.reshape(-1, count)).reshape(2, -1)
        slopes.append((up - down) / (2 * STEP))
    return value + count * np.concatenate(slopes)


def resampler(
    metric: Metric, statistics: np.ndarray, index: np.ndarray, count: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from counts [d, G] of the groups to values [d]; index [n]: the group of an item."""
    if metric.of_draws:
        return lambda counts: metric.values(statistics, counts[:, index])
    sums = np.zeros((count, *statistics.shape[1:]))
    np.add.at(sums, index, statistics)
    if metric.of_sums:
        return lambda counts: metric.values(sums, counts)
    sizes = np.bincount(index, minlength=count)
    return lambda counts: (counts @ sums) / (counts @ sizes)


def _draws(
    metric: Metric, sides: Sequence[np.ndarray], index: np.ndarray, count: int, draws: int, seed: int
) -> np.ndarray:
    """Return bootstrap values [draws, sides], with the same groups for every side; index [n]: the group of an item."""
    of = [resampler(metric, side, index, count) for side in sides]
    rng, even = np.random.default_rng(seed), np.full(count, 1 / count)
    parts = []
    for size in chunks(draws):
        counts = rng.multinomial(count, even, size=size).astype(float)
        parts.append(np.stack([values(counts) for values in of], axis=1))
    return np.concatenate(parts)


def _by_error(mean: float, variance: float, groups: int, level: float) -> Interval:
    """Return the interval of a difference from its standard error, by Student's t for few groups."""
    p = 0.5 + level / 2
    few = groups < FEW_GROUPS
    half = (stats.student_inv_cdf(p, groups - 1) if few else stats.NORMAL.inv_cdf(p)) * sqrt(variance)
    return Interval(100 * max(-1.0, mean - half), 100 * min(1.0, mean + half), level)


def _detectable(variance: float | None, groups: int) -> float | None:
    """Return the smallest difference in points that is found with 80% probability at 5%; None without a variance."""
    few = groups if groups < FEW_GROUPS else None
    return None if variance is None else 100 * stats.minimum_detectable_effect(variance, groups=few)


def value_interval(
    statistics: np.ndarray, groups: Sequence[str] | None = None, *, metric: str = "accuracy"
) -> tuple[float, float]:
    """Return the 95% confidence interval of one value, in the metric's unit.

    Args:
        statistics: [n] or [n, S], as `compare` takes them.
        metric: Name of a registered metric. Accuracy has Wilson's interval at the effective number of items: n over the
            design effect, the variance with whole groups drawn over the one with single items drawn (Kish 1965, ch. 8;
            Korn & Graubard 1998). Other metrics have the bootstrap's percentiles.
    """
    used = find(metric)
    if used.is_mean and statistics.dtype == bool:
        return stats.wilson_interval(float(statistics.mean()), effective_items(statistics, groups), 0.95)
    index, sizes = _group_index(len(statistics), groups)
    if len(sizes) < 2:
        return used.unit.low, used.unit.high
    values = _draws(used, (np.asarray(statistics, dtype=float),), index, len(sizes), DRAWS, seed=0)[:, 0]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _group_index(n: int, groups: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the group of each item [n] and the size of each group [G]; without groups, one group per item."""
    if groups is None:
        return np.arange(n), np.ones(n, dtype=np.int64)
    if len(groups) != n:
        raise IncompatibleError(f"{len(groups)} groups for {n} items.")
    _, index = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    return index, np.bincount(index)


def effective_items(right: np.ndarray, groups: Sequence[str] | None = None) -> int:
    """Return how many independent items would carry as much information as these n."""
    n, mean = len(right), float(right.mean())
    index, sizes = _group_index(n, groups)
    count = len(sizes)
    if count == n:
        return n
    if count < 2 or mean in (0.0, 1.0):
        return count  # no variance to estimate it from: the careful answer
    errors = np.bincount(index, weights=right) - mean * sizes
    # Linearised ratio estimator, as for differences: groups vary in size (Cochran 1977, ch. 6).
    variance = float((errors**2).sum()) / n**2 * count / (count - 1)
    return min(n, max(1, round(mean * (1 - mean) / variance))) if variance else n


def of_alike(mean: float, sizes: np.ndarray, level: float) -> Interval:
    """Return the interval for groups that all have the mean difference `mean`, −1 … 1. sizes [G]: items of each.

    If all G groups agree, a share q of different groups is still possible: 1 − ((1 − level) / 2)^(1/G) (Clopper & Pearson
    1934), with differences anywhere from −1 to 1. G counts groups as if all were of one size (Kish 1965, section 8.2).
    One group gives no information: −100 … +100.
    """
    if len(sizes) < 2:
        return Interval(-100.0, 100.0, level)
    units = float(sizes.sum()) ** 2 / float((sizes.astype(float) ** 2).sum())
    q = 1 - ((1 - level) / 2) ** (1 / units)
    return Interval(100 * (mean - q * (1 + mean)), 100 * (mean + q * (1 - mean)), level)


def _variance(d: np.ndarray, sums: np.ndarray, sizes: np.ndarray) -> float | None:
    """Return the variance of the mean of d, from items or groups of them; None if it cannot be estimated."""
    n, groups = len(d), len(sizes)
    if groups < 2:
        return None
    if groups == n:
        variance = stats.paired_variance(int((d > 0).sum()), int((d < 0).sum()), n)
    else:
        # Linearised ratio estimator: groups vary in size (Cochran 1977, ch. 6). Times n, a deviation is a whole
        # number, so that groups which are all alike give 0 and not a rounding error.
        deviations = (n * sums - d.sum() * sizes).astype(float)
        variance = float((deviations**2).sum()) / float(n) ** 4 * groups / (groups - 1)
    return variance or None


def paired_bootstrap(
    a: np.ndarray,
    b: np.ndarray,
    *,
    groups: Sequence[str] | None = None,
    draws: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return the percentile interval of accuracy A − accuracy B in pp (Efron & Tibshirani 1993, ch. 13).

    Items, or whole groups of them, are drawn with replacement. An item's difference has three values only,
    so a draw of n items is a draw of three counts: exact, and independent of n.
    """
    d = _difference(a, b)
    index, sizes = _group_index(len(d), groups)
    if len(sizes) == len(d):
        shares = np.array([(d > 0).mean(), (d < 0).mean(), (d == 0).mean()])
        counts = np.random.default_rng(seed).multinomial(len(d), shares / shares.sum(), size=draws)
        return percentiles((counts[:, 0] - counts[:, 1]) / len(d), level)
    return percentiles(_draws(find("accuracy"), (d,), index, len(sizes), draws, seed)[:, 0], level)


def percentiles(draws: np.ndarray, level: float) -> Interval:
    """Return the interval, in points, between the percentiles of bootstrap values in the metric's unit."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(100 * float(low), 100 * float(high), level)


def sign_flip_p(sums: np.ndarray) -> float:
    """Return the two-sided p that A and B are exchangeable within each group. sums: int [G], of the differences in each.

    Exact: of all 2^G choices of signs, the share whose sum is as far from zero as the observed one. Counted by a table
    of the probability of every sum of those with a plus. (Pitman 1937; of single items it is McNemar's test.)
    """
    moving = np.abs(sums[sums != 0])
    total = int(moving.sum())
    chance = np.zeros(total + 1)
    chance[0] = 1.0
    for step in moving.tolist():
        chance[step:] = (chance[step:] + chance[:-step]) / 2
        chance[:step] /= 2
    least = (total - abs(int(sums.sum()))) // 2
    return min(1.0, 2 * float(chance[: least + 1].sum()))


def chunks(draws: int) -> list[int]:
    """Return `draws` in parts of at most CHUNK."""
    return [min(CHUNK, draws - done) for done in range(0, draws, CHUNK)]


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return 1 where only A is right, −1 where only B is: int [n]."""
    a, b = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    _check_items(a, b)
    return a.astype(np.int64) - b.astype(np.int64)


def _check_items(a: np.ndarray, b: np.ndarray) -> None:
    if len(a) != len(b) or not len(a):
        raise IncompatibleError(
            f"a paired comparison needs the same items on both sides, not {len(a)} and {len(b)}."
        )


def _by_group(d: np.ndarray, groups: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum of differences and number of items per group, both int [G]; without groups, per item."""
    index, sizes = _group_index(len(d), groups)
    return np.bincount(index, weights=d).astype(np.int64), sizes
