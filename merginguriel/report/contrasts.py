"""Paired contrasts over targets: settings, methods, and merges against ensembles of the same sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import sqrt

import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp

from merginguriel import stats
from merginguriel.text.differences import ALPHA, Difference

from .comparisons import WORDS, TargetResult, of_arms, over_seeds, over_seeds_by_items, with_holm
from .scored_arms import ENSEMBLE, MERGE

# Two targets have the same sign by luck one time in two, and t has one degree of freedom.
FEWEST = 3


@dataclass(frozen=True)
class Contrast:
    """One value of a key against another, everything else equal.

    Attributes:
        key: What differs: a setting, `ensemble`, or a mode whose methods are compared with a baseline.
        a: The one value, or method.
        b: The other value, or kind of baseline.
        by_target: Target → mean difference in points.
        pairs: Number of differences that the means are of.
        difference: Mean over targets.
    """

    key: str
    a: str
    b: str
    by_target: Mapping[str, float]
    pairs: int
    difference: Difference

    @property
    def enough(self) -> bool:
        """Whether there are targets enough to generalise to another one."""
        return len(self.by_target) >= FEWEST


def contrast(
    key: str, a: str, b: str, differences: Mapping[str, Sequence[float]], points: str = "pp"
) -> Contrast:
    """Average differences, target → points, within targets and then over targets."""
    by_target = {target: float(np.mean(each)) for target, each in differences.items()}
    over = replace(t_over_targets(by_target), points=points)
    return Contrast(key, a, b, by_target, sum(map(len, differences.values())), over)


def t_over_targets(values: Mapping[str, float]) -> Difference:
    """Average one difference per target, the targets being the sample: Student's t with T − 1 degrees of freedom.

    Of fewer than FEWEST targets, the mean alone. The result generalises to other targets, where
    `evaluation.across_targets.over_targets` draws items and leaves the targets fixed.
    """
    each = np.array(list(values.values()))
    mean = float(each.mean())
    if len(each) < FEWEST:
        return Difference(mean, paired=True, units=len(each))
    variance = float(each.var(ddof=1)) / len(each)
    if variance < 1e-18:  # equal on every target: the noise is unknown, unless there is no difference
        return Difference(mean, p=None if abs(mean) > 1e-9 else 1.0, paired=True, units=len(each))
    test = ttest_1samp(each, 0)
    low, high = map(float, test.confidence_interval(1 - ALPHA))
    mde = stats.minimum_detectable_effect(variance, groups=len(each))
    return Difference(mean, low, high, sqrt(variance), mde, float(test.pvalue), paired=True, units=len(each))


def corrected(contrasts: Sequence[Contrast]) -> list[Contrast]:
    """Apply Holm's correction over all of these contrasts."""
    differences = with_holm([c.difference for c in contrasts])
    return [replace(c, difference=d) for c, d in zip(contrasts, differences, strict=True)]


# settings


def keys_that_vary(cells: Sequence[TargetResult]) -> list[str]:
    """Return the settings with two values or more among the merges, except the method itself."""
    values = pd.DataFrame([dict(cell.key) for cell in cells if cell.kind == MERGE])
    return [name for name in values if values[name].nunique() > 1 and name not in ("method", *WORDS)]


def settings(cells: Sequence[TargetResult], key: str) -> list[Contrast]:
    """Compare every two values of `key` where merges differ in nothing else, Holm over all of them.

    What follows from the key may differ: with the method its parameters, with k, mode and similarity the sources.
    Seeds are paired; one that only one side has does not count. Two recipes of one method that differ in their
    parameters only are averaged where methods are compared.
    """
    arms = pd.DataFrame(
        [
            (_place(cell), _rest(cell, key), str(arm.row.seed), dict(cell.key).get(key, "-"), arm.row.value)
            for cell in cells
            if cell.kind == MERGE
            for arm in cell.arms
        ],
        columns=["target", "rest", "seed", "side", "value"],
    )
    if arms.empty:
        return []
    wide = arms.pivot_table(index=["target", "rest", "seed"], columns="side", values="value")
    found = []
    for b, a in combinations(sorted(wide.columns, key=_order), 2):
        pairs = (100 * (wide[a] - wide[b])).dropna().groupby(level=["target", "rest"]).mean()
        if len(pairs):
            by_target = {t: list(each) for t, each in pairs.groupby(level="target")}
            found.append(contrast(key, a, b, by_target, cells[0].metric.unit.points))
    return corrected(found)


def _place(cell: TargetResult) -> str:
    return f"{cell.context} {cell.target}"


def _rest(cell: TargetResult, key: str) -> str:
    """Every setting of the cell except `key` and what follows from it."""
    return repr(
        [
            (name, value)
            for name, value in cell.key
            if value != "-"
            and name not in (key, *WORDS)
            and not (key == "method" and name.startswith("params."))
        ]
    )


def _order(value: str) -> tuple[bool, float, str]:
    """Sort key: numbers by size, then words."""
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value


# merge against ensemble


def vote_name(vote: TargetResult) -> str:
    """Name an ensemble without what it shares with the merge beside it: sources, their number, mode."""
    key = dict(vote.key)
    return key["method"] + (f" ({key['similarity']})" if key["similarity"] != "-" else "")


def ensembles(
    cells: Sequence[TargetResult],
) -> tuple[list[Contrast], list[tuple[TargetResult, TargetResult, Difference]]]:
    """Compare every merge with every ensemble of the same sources.

    Returns:
        The contrasts over targets, and (merge, ensemble, difference) on each target; Holm over either list.
    """
    by_pair: dict[tuple[str, str], dict[str, list[float]]] = {}
    single = []
    for merge in (cell for cell in cells if cell.kind == MERGE):
        for vote in (cell for cell in cells if cell.kind == ENSEMBLE):
            if (merge.context, merge.target) != (vote.context, vote.target):
                continue
            same = [
                (a, b)
                for a in merge.arms
                for b in vote.arms
                if a.row.seed == b.row.seed and set(a.row.sources) == set(b.row.sources) and a.row.sources
            ]
            if not same:
                continue
            rights = [(b.right,) if b.right is not None and a.items == b.items else () for a, b in same]
            difference = over_seeds_by_items([a for a, _ in same], rights) or over_seeds(
                [of_arms(a, b) for a, b in same]
            )
            single.append((merge, vote, difference))
            by_target = by_pair.setdefault((merge.label, vote_name(vote)), {})
            by_target.setdefault(_place(merge), []).append(difference.value)
    points = cells[0].metric.unit.points if cells else "pp"
    over = [contrast("ensemble", a, b, by_target, points) for (a, b), by_target in sorted(by_pair.items())]
    adjusted = with_holm([replace(d, points=points) for _, _, d in single])
    return corrected(over), [(m, v, d) for (m, v, _), d in zip(single, adjusted, strict=True)]
