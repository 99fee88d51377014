"""Inference over several targets or seeds: joint intervals, Holm's correction, random seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from merginguriel import stats
from merginguriel.errors import IncompatibleError, UsageError
from merginguriel.metrics.registry import find

from .significance import Comparison, Interval, chunks, compare, linear, of_alike, percentiles, resampler

ALIKE = 1e-18  # a variance below it is rounding
# Target → (A, B): statistics of a metric [n] or [n, S], for accuracy bool
Pairs = Mapping[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Family:
    """Comparison of A with B on every target. Differences in points, A − B: pp for accuracy.

    comparisons  target → its own comparison, with its interval and smallest detectable effect
    holm         target → p after Holm's correction over these targets (of `p_groups` where groups were given)
    mean         mean of the targets' differences: these targets, not all there could be
    interval     of `mean`, items that are translations of each other drawn together
    mde          smallest true mean difference found with 80% probability at 5%; None where nothing varies
    """

    comparisons: Mapping[str, Comparison]
    holm: Mapping[str, float]
    mean: float
    interval: Interval
    mde: float | None

    @property
    def standing(self) -> list[str]:
        """Return the targets whose difference is significant at 5% after the correction."""
        return [target for target, p in self.holm.items() if p < 0.05]


def over_targets(
    pairs: Pairs,
    groups: Mapping[str, Sequence[str]] | None = None,
    *,
    metric: str = "accuracy",
    draws: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Family:
    """Compare A with B on every target and on all targets together, with the items as the sample.

    The result holds for these targets; `report.contrasts.t_over_targets` takes the targets as the sample.
    Holm's correction counts the targets. It does not count a choice of A among several methods on the same items.

    Args:
        pairs: Target → statistics of the metric of A and B, by item.
        groups: Target → [n] names. Items of one name are drawn together, within a target (variants of a template) and
            across targets: in parallel data, where an id names the same sentence in every language, one draw serves all.

    Raises:
        UsageError: There is no target.
        IncompatibleError: The two sides have different items.
    """
    if not pairs:
        raise UsageError("a comparison over targets needs at least one target.")
    named = groups or {}
    found = {
        target: compare(a, b, metric=metric, groups=named.get(target), draws=draws, seed=seed, level=level)
        for target, (a, b) in pairs.items()
    }
    means = joint_draws(pairs, named, metric=metric, draws=draws, seed=seed).mean(axis=1)
    interval = percentiles(means, level)
    spread = float(means.var(ddof=1))
    if spread < ALIKE:
        # No draw differs from another: the mean of intervals that hold together at this level (Bonferroni).
        strict = 1 - (1 - level) / len(pairs)
        each = [
            compare(a, b, metric=metric, groups=named.get(t), draws=draws, seed=seed, level=strict)
            for t, (a, b) in pairs.items()
        ]
        low, high = np.mean([(c.interval.low, c.interval.high) for c in each], axis=0).tolist()
        interval = Interval(low, high, level)
    return Family(
        found,
        dict(zip(found, stats.holm([c.trusted_p for c in found.values()]), strict=True)),
        float(np.mean([c.difference for c in found.values()])),
        interval,
        100 * stats.minimum_detectable_effect(spread) if spread >= ALIKE else None,
    )


def joint_draws(
    pairs: Pairs,
    groups: Mapping[str, Sequence[str]],
    *,
    metric: str = "accuracy",
    draws: int = 10_000,
    seed: int = 0,
) -> np.ndarray:
    """Return bootstrap differences float [draws, targets], in the metric's unit: whole groups drawn once for all targets.

    Groups are drawn within strata: those that occur in the same set of targets. Parallel data are one stratum, so
    that the draws of two targets rise and fall together; data that share no group are drawn independently. (Cluster
    bootstrap: Davison & Hinkley 1997, section 3.8.)
    """
    sides = []
    where: dict[str, list[tuple[int, int]]] = {}  # group → (target, its place there)
    for j, (target, pair) in enumerate(pairs.items()):
        names = groups.get(target) or [f"{target}\x1f{i}" for i in range(len(pair[0]))]
        keys, index = np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)
        sides.append([resampler(find(metric), np.asarray(one, float), index, len(keys)) for one in pair])
        for place, key in enumerate(keys.tolist()):
            where.setdefault(key, []).append((j, place))
    strata: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for key in sorted(where):
        targets, places = zip(*where[key], strict=True)
        strata.setdefault(targets, []).append(places)
    rng = np.random.default_rng(seed)
    sizes = [sum(key[0] == j for places in where.values() for key in places) for j in range(len(sides))]
    parts = []
    for size in chunks(draws):
        counts = [np.empty((size, groups_)) for groups_ in sizes]
        for members, cells in sorted(strata.items()):
            drawn = rng.multinomial(len(cells), np.full(len(cells), 1 / len(cells)), size=size)
            for j, places in zip(members, np.array(cells).T, strict=True):
                counts[j][:, places] = drawn
        parts.append(
            np.stack([a(count) - b(count) for (a, b), count in zip(sides, counts, strict=True)], axis=1)
        )
    return np.concatenate(parts)


@dataclass(frozen=True)
class OverSeeds:
    """Comparison of A with B over S seeds and n items, both random. Differences in points, A − B: pp for accuracy.

    se, df           standard error of the mean difference, and its degrees of freedom
    sd_seed          standard deviation of the true difference from one seed to another
    mde              smallest true difference that such a study finds with 80% probability at 5%
    """

    seeds: int
    n: int
    difference: float
    interval: Interval
    p: float
    se: float | None
    df: float
    sd_seed: float
    mde: float | None

    @property
    def significant(self) -> bool:
        """Return whether p is below 0.05."""
        return self.p < 0.05


def over_seeds(
    a: Sequence[np.ndarray],
    b: Sequence[np.ndarray],
    *,
    metric: str = "accuracy",
    groups: Sequence[str] | None = None,
    level: float = 0.95,
) -> OverSeeds:
    """Compare A with B, each trained with S seeds and scored on the same n items.

    The difference of item i under seed s is μ + seed_s + item_i + rest_si, with seeds and items both drawn at random:
    another study would have others of either. Variances are estimated by the method of moments from the mean
    squares of the two-way table, those below zero taken as zero (Searle, Casella & McCulloch 1992, chapter 4), and the
    mean's degrees of freedom are Satterthwaite's (1946): the quasi-F of Clark (1973). Why seeds are included: Bouthillier
    et al. 2021, arXiv:2103.03098.

    Args:
        a: S statistics of the metric, [n] or [n, S'] each; that of place s has seed s. For accuracy bool [S, n] will do.
        b: The same of B.
        metric: Name of a registered metric; one that is no mean is linearised.
        groups: [n]; items of one name are variants of each other. Groups then replace items, linearised as ratios.
        level: Of the interval.

    Raises:
        IncompatibleError: The shapes differ.
        UsageError: There are fewer than two seeds or groups.
    """
    if [one.shape for one in a] != [one.shape for one in b] or not len(a) or not a[0].size:
        shapes = (f"{len(side)} × {list(side[0].shape) if len(side) else []}" for side in (a, b))
        raise IncompatibleError(f"both sides need the same seeds and items, not {' and '.join(shapes)}.")
    used = find(metric)
    table = np.array([linear(used, x, groups) - linear(used, y, groups) for x, y in zip(a, b, strict=True)])
    return differences_over_seeds(table, n=len(a[0]), level=level)


def differences_over_seeds(table: np.ndarray, *, n: int, level: float = 0.95) -> OverSeeds:
    """Compare as `over_seeds`, from linear differences [S, G] (`significance.linear`) of items or groups of n items."""
    seeds, units = table.shape
    if seeds < 2 or units < 2:
        raise UsageError(f"a comparison over seeds needs two or more seeds and items, not {seeds} × {units}.")
    mean = float(table.mean())
    by_seed, by_unit = table.mean(axis=1) - mean, table.mean(axis=0) - mean
    rest = table - mean - by_seed[:, None] - by_unit[None, :]
    freedom = np.array([seeds - 1, units - 1, (seeds - 1) * (units - 1)], dtype=float)
    squares = np.array([units * (by_seed**2).sum(), seeds * (by_unit**2).sum(), (rest**2).sum()]) / freedom
    seed, unit, error = map(float, squares)
    parts = np.array([seed if seed > error else 0.0, unit if unit > error else 0.0])
    # MS_seed + MS_item − MS_rest where both exceed the rest; a component below zero falls away with its mean square.
    signs = np.array([*(parts > 0), 1 - int((parts > 0).sum())], dtype=float)
    variance = max(float(signs @ squares), 0.0) / (seeds * units)
    sd_seed = sqrt(max(seed - error, 0.0) / units)
    if variance < ALIKE:
        interval = of_alike(mean, np.ones(min(seeds, units)), level)
        return OverSeeds(seeds, n, 100 * mean, interval, 1.0, None, 0.0, 100 * sd_seed, None)
    df = stats.satterthwaite(zip((signs * squares).tolist(), freedom.tolist(), strict=True))
    whole = max(1, int(df))  # rounded down: the careful side
    se = sqrt(variance)
    half = stats.student_inv_cdf(0.5 + level / 2, whole) * se
    return OverSeeds(
        seeds=seeds,
        n=n,
        difference=100 * mean,
        interval=Interval(100 * max(-1.0, mean - half), 100 * min(1.0, mean + half), level),
        p=stats.student_two_sided_p(mean / se, whole),
        se=100 * se,
        df=df,
        sd_seed=100 * sd_seed,
        mde=100 * stats.minimum_detectable_effect(variance, groups=whole + 1),
    )
