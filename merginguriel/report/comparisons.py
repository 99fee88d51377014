"""Differences of arms to their baselines and to each other, with their noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from merginguriel import stats
from merginguriel.evaluation.across_targets import differences_over_seeds
from merginguriel.evaluation.baselines import GOALS
from merginguriel.evaluation.significance import FEW_GROUPS, compare, linear
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.metrics import registry as metrics
from merginguriel.text.differences import ALPHA, Difference

from .scored_arms import MERGE, SINGLE, ScoredArm

Key = tuple[tuple[str, str], ...]
# What separates arms of the same settings and seed, the most informative first.
DISTINCTIONS: Mapping[str, Callable[[ScoredArm], str]] = {
    "weights": lambda arm: " ".join(f"{weight:g}" for weight in arm.row.weights),
    "from": lambda arm: arm.origin,
    "sources": lambda arm: " ".join(arm.row.sources),
}
ROW = "row"
WORDS = {"weights": "weights", "from": "their origin", "sources": "sources", ROW: "their order"}


@dataclass(frozen=True)
class TargetResult:
    """One method on one target, over its seeds.

    Attributes:
        label: Name of the method with the settings that vary.
        key: All settings.
        kind: MERGE or ENSEMBLE.
        arms: One per seed.
        value: Mean value of the metric.
        baselines: Kind of baseline → its value.
        against: Kind of baseline → difference of this cell to it.
        goal: Kind of baseline that the goal of this mode is measured against, where this cell has it.
    """

    context: str
    target: str
    label: str
    key: Key
    kind: str
    arms: tuple[ScoredArm, ...]
    value: float
    baselines: Mapping[str, float]
    against: Mapping[str, Difference]
    goal: str | None = None

    @property
    def mode(self) -> str:
        """ExcTar, IncTar or -."""
        return self.arms[0].row.mode

    @property
    def metric(self) -> metrics.Metric:
        """Metric of the values."""
        return metrics.find(self.arms[0].row.metric)


# one difference


def of_rows(row: ResultRow) -> Difference | None:
    """Return a row's value − baseline with the noise that the row carries; None without a baseline."""
    if row.difference_pp is None:
        return None
    return _normal(
        row.difference_pp,
        row.variance_pp,
        row.p_value,
        paired=row.paired or row.se_pp is not None,
        units=row.n,
    )


def _normal(
    value: float, variance: float | None, p: float | None = None, *, paired: bool, units: int | None
) -> Difference:
    if not variance:
        return Difference(value, paired=paired, units=units)
    se = sqrt(variance)
    half = stats.NORMAL.inv_cdf(1 - ALPHA / 2) * se
    mde = stats.minimum_detectable_effect(variance)
    p = stats.two_sided_p(value / se) if p is None else p
    return Difference(value, value - half, value + half, se, mde, p, paired=paired, units=units)


def of_arms(a: ScoredArm, b: ScoredArm) -> Difference:
    """Return a − b on one target: paired by item where both have the same items, else with a bound of the noise."""
    if a.right is not None and b.right is not None and a.items == b.items:
        return _of_items(a, (b.right,))
    value = 100 * (a.row.value - b.row.value)
    if not a.row.n or not b.row.n:
        return Difference(value)
    variance = metrics.find(a.row.metric).unit.variance
    both = 1e4 * (variance(a.row.value, a.row.n) + variance(b.row.value, b.row.n))
    found = _normal(
        value, both * max(_clustering(a), _clustering(b)), paired=False, units=min(a.row.n, b.row.n)
    )
    return replace(found, bound=True)


def _of_items(arm: ScoredArm, others: Sequence[np.ndarray]) -> Difference:
    """Return arm − other, item by item; others: statistics of one model, or of several whose mean it is.

    Of one model, the test is that of the run which scored it, `significance.compare`, its interval in closed form, since
    a study has thousands of comparisons. Of a mean of models, groups of items are the unit, the noise is that of linear
    statistics (for accuracy the ratio estimator: Cochran 1977, ch. 6).
    """
    assert arm.right is not None
    metric, named, n = metrics.find(arm.row.metric), arm.groups or arm.items, len(arm.right)
    if len(others) == 1:
        seen = compare(arm.right, others[0], groups=named, metric=metric.name, draws=0)
        if seen.se is None and not np.array_equal(arm.right, others[0]):
            return Difference(seen.difference, paired=True, units=n)
        ends = seen.interval.low, seen.interval.high
        return Difference(seen.difference, *ends, seen.se, seen.mde, seen.trusted_p, paired=True, units=n)
    d = _linear(arm, others)
    count, mean = len(d), float(d.mean())
    if not d.any():
        return Difference(0.0, p=1.0, paired=True, units=n)
    variance = float(d.var(ddof=1)) / count if count > 1 else 0.0
    if not variance:
        return Difference(100 * mean, paired=True, units=n)
    variance = 1e4 * max(variance, 1 / n**2)  # one item keeps the noise above zero, as it does for rows
    if count < FEW_GROUPS:
        return _student(100 * mean, sqrt(variance), count - 1, paired=True, units=n)
    return _normal(100 * mean, variance, paired=True, units=n)


def _linear(arm: ScoredArm, others: Sequence[np.ndarray]) -> np.ndarray:
    """Return arm − mean of the others as one number per group of items, [G], whose mean is the difference."""
    assert arm.right is not None
    metric, named = metrics.find(arm.row.metric), arm.groups or arm.items
    own, *rest = (linear(metric, one, named) for one in (arm.right, *others))
    return own - np.mean(rest, axis=0)


def against_baseline(arm: ScoredArm, kind: str) -> Difference | None:
    """Return the arm − one of its baselines: from items, else from the row's noise, else with a bound of it."""
    row = arm.against[kind]
    if arm.right is not None and kind in arm.rights:
        return _of_items(arm, arm.rights[kind])
    found = of_rows(row)
    if found is None or found.paired or row.variance_pp is None:
        return found
    bounded = _normal(found.value, row.variance_pp * _clustering(arm), paired=False, units=row.n)
    # A mean of models varies less than one of them: its rows bound the noise, and do not measure it.
    return replace(bounded, bound=kind == "source_mean")


def _clustering(arm: ScoredArm) -> float:
    """Return the design effect of templates: the variance in the arm's paired rows over that of single items."""
    found = [1.0]
    for row in arm.against.values():
        if row.se_pp and row.wins is not None and row.losses is not None and row.n:
            single = 1e4 * stats.paired_variance(row.wins, row.losses, row.n)
            if single:
                found.append(row.se_pp**2 / single)
    return max(found)


# cells


def cells(arms: Sequence[ScoredArm]) -> list[TargetResult]:
    """Group merges and ensembles by method and target; arms that differ by seed only are one cell."""
    merged = [arm for arm in arms if arm.kind != SINGLE]
    keys = _keys(merged)
    labels = _labels(sorted(set(keys)))
    groups: dict[tuple[tuple[str, str], Key], list[ScoredArm]] = {}
    for arm, key in zip(merged, keys, strict=True):
        groups.setdefault((arm.block, key), []).append(arm)
    found = [
        _cell(block, labels[key], key, tuple(sorted(group, key=lambda a: a.row.seed or 0)))
        for (block, key), group in groups.items()
    ]
    found.sort(key=lambda c: (c.context, c.target, -c.metric.sign * c.value, c.label))
    wanted = {mode: _goal_kind(found, mode) for mode in GOALS}
    return [
        replace(cell, goal=wanted[cell.mode] if wanted.get(cell.mode) in cell.against else None)
        for cell in _corrected(found)
    ]


def _goal_kind(found: Sequence[TargetResult], mode: str) -> str | None:
    """Return the kind of baseline that most merges of a mode have, of equals the strictest."""
    having = {k: sum(k in c.against for c in found if c.mode == mode) for k in GOALS[mode][1]}
    best = max(having, key=lambda k: having[k])
    return best if having[best] else None


def goals_of(found: Sequence[TargetResult]) -> dict[str, tuple[int, str]]:
    """Return mode → number of its goal and the kind of baseline of it, for modes that have any."""
    return {
        mode: (number, next(c.goal for c in found if c.mode == mode and c.goal))
        for mode, (number, _) in GOALS.items()
        if any(c.mode == mode and c.goal for c in found)
    }


def _cell(block: tuple[str, str], label: str, key: Key, arms: tuple[ScoredArm, ...]) -> TargetResult:
    kinds = dict.fromkeys(kind for arm in arms for kind in arm.against)
    compared: dict[str, Difference] = {}
    baselines: dict[str, float] = {}
    for kind in kinds:
        having = [arm for arm in arms if kind in arm.against]
        values = [row.baseline for arm in having if (row := arm.against[kind]).baseline is not None]
        each = [d for arm in having if (d := against_baseline(arm, kind)) is not None]
        if each:
            baselines[kind] = sum(values) / len(values)
            found = over_seeds_by_items(having, [arm.rights.get(kind, ()) for arm in having])
            compared[kind] = replace(found or over_seeds(each), points=arms[0].row.points)
    value = sum(arm.row.value for arm in arms) / len(arms)
    return TargetResult(*block, label, key, arms[0].kind, arms, value, baselines, compared)


def over_seeds(each: Sequence[Difference]) -> Difference:
    """Average one difference per seed.

    Seeds share their test items, so the noise of items does not shrink; the variance between seeds is added. Student's t
    with Satterthwaite's degrees of freedom, since two or three seeds estimate it badly.
    """
    if len(each) == 1:
        return each[0]
    mean = sum(d.value for d in each) / len(each)
    if any(d.se is None for d in each):
        return Difference(mean)
    items = sum(d.se**2 for d in each if d.se is not None) / len(each)
    seeds = sum((d.value - mean) ** 2 for d in each) / (len(each) - 1) / len(each)
    units = min((d.units for d in each if d.units), default=None)
    known = [(seeds, len(each) - 1.0), (items, max(1.0, (units or len(each)) - 1.0))]
    df = stats.satterthwaite(known)
    found = _student(mean, sqrt(items + seeds), df, paired=all(d.paired for d in each), units=each[0].units)
    return replace(found, bound=any(d.bound for d in each))


def over_seeds_by_items(
    arms: Sequence[ScoredArm], others: Sequence[Sequence[np.ndarray]]
) -> Difference | None:
    """Average arm − other over seeds, with seeds and items both at random.

    Args:
        others: Of each arm, as in `_of_items`; empty where unknown.

    Returns:
        None with one seed, and unless all were scored on the same known items.
    """
    first = arms[0]
    known = all(arm.right is not None and other for arm, other in zip(arms, others, strict=True))
    same = all(arm.items == first.items and arm.groups == first.groups for arm in arms)
    if len(arms) < 2 or not known or not same or len(set(first.groups or first.items)) < 2:
        return None
    d = np.array([_linear(arm, other) for arm, other in zip(arms, others, strict=True)])
    found = differences_over_seeds(d, n=len(first.items), level=1 - ALPHA)
    if not d.any():
        return Difference(0.0, p=1.0, paired=True, units=found.n)
    if found.se is None:
        return Difference(found.difference, paired=True, units=found.n)
    return _student(found.difference, found.se, found.df, paired=True, units=found.n)


def _student(value: float, se: float, df: float, *, paired: bool, units: int | None) -> Difference:
    whole = max(1, int(df))  # rounded down: the careful side
    half = stats.student_inv_cdf(1 - ALPHA / 2, whole) * se
    mde = stats.minimum_detectable_effect(se**2, groups=whole + 1)
    p = stats.student_two_sided_p(value / se, whole)
    return Difference(value, value - half, value + half, se, mde, p, paired=paired, units=units)


def with_holm(differences: Sequence[Difference]) -> list[Difference]:
    """Apply Holm's correction over all of these differences that have a p."""
    tested = [i for i, d in enumerate(differences) if d.p is not None]
    adjusted = dict(zip(tested, stats.holm([differences[i].p or 0.0 for i in tested]), strict=True))
    return [replace(d, p_holm=adjusted.get(i), family=len(tested)) for i, d in enumerate(differences)]


def _corrected(cells: Sequence[TargetResult]) -> list[TargetResult]:
    """Apply Holm's correction to the merges, and to the ensembles, that are compared with one kind of baseline.

    Ensembles are a family of their own, so that how many of them a run scores does not change what its merges show.
    """
    against = [dict(cell.against) for cell in cells]
    for kind, merges in {(kind, c.kind == MERGE) for c in cells for kind in c.against}:
        family = [i for i, c in enumerate(cells) if kind in c.against and (c.kind == MERGE) == merges]
        for i, d in zip(family, with_holm([against[i][kind] for i in family]), strict=True):
            against[i][kind] = d
    return [replace(cell, against=found) for cell, found in zip(cells, against, strict=True)]


def settings_of(arm: ScoredArm) -> dict[str, str]:
    """Return the settings of an arm: all but the target, the seed and the results."""
    row = arm.row
    found = {
        "method": row.method,
        "mode": row.mode,
        "similarity": row.similarity or "-",
        "k": str(row.k or "-"),
    }
    found |= {f"params.{key}": value for key, value in row.params}
    return found | dict(arm.extras)


def _keys(arms: Sequence[ScoredArm]) -> list[Key]:
    """Return the settings of each arm, extended where two arms of one target and seed share them.

    Such arms get what distinguishes them, or a number, so that a seed never counts twice in a cell.
    """
    keys: list[Key] = [tuple(settings_of(arm).items()) for arm in arms]
    seen: dict[Key, dict[object, list[int]]] = {}
    for i, (arm, key) in enumerate(zip(arms, keys, strict=True)):
        seen.setdefault(key, {}).setdefault((arm.block, arm.row.seed), []).append(i)
    for key, groups in seen.items():
        clashing = [[arms[i] for i in group] for group in groups.values() if len(group) > 1]
        names = _distinctions(clashing) if clashing else ()
        for group in groups.values():
            met: Counter[Key] = Counter()
            for i in group:
                extra = tuple((name, DISTINCTIONS[name](arms[i])) for name in names if name != ROW)
                met[extra] += 1
                keys[i] = (*key, *extra, *([(ROW, str(met[extra]))] if ROW in names else []))
    return keys


def _distinctions(clashing: Sequence[Sequence[ScoredArm]]) -> tuple[str, ...]:
    """Return which of DISTINCTIONS separates the arms of each group; where none does alone, all that differ, and ROW."""
    values = {
        name: [len({of(arm) for arm in group}) for group in clashing] for name, of in DISTINCTIONS.items()
    }
    sizes = [len(group) for group in clashing]
    for name in DISTINCTIONS:
        # With other sources the weights differ too, and are less informative.
        if values[name] == sizes and (name != "weights" or max(values["sources"]) == 1):
            return (name,)
    return *(name for name in DISTINCTIONS if max(values[name]) > 1), ROW


def repeated(found: Sequence[TargetResult]) -> list[str]:
    """Return a note for each method that was measured several times with the same settings and seed."""
    notes = {
        (dict(cell.key)["method"], " and ".join(words))
        for cell in found
        if (words := [WORDS[name] for name, _ in cell.key if name in WORDS])
    }
    return [
        f"{method}: several measurements share settings and seed; they are distinguished by {words}, not averaged."
        for method, words in sorted(notes)
    ]


def _labels(keys: Sequence[Key]) -> dict[Key, str]:
    """Return a label of each key: method, similarity, and what else varies among the arms of that method."""
    found = {}
    for key in keys:
        mine = dict(key)
        same = [dict(other) for other in keys if dict(other)["method"] == mine["method"]]
        names = dict.fromkeys(name for other in same for name in other)
        varying = [
            n for n in names if len({other.get(n, "-") for other in same}) > 1 and n not in ("similarity",)
        ]
        parts = [_part(name, mine.get(name, "-")) for name in varying]
        similarity = f" ({mine['similarity']})" if mine["similarity"] != "-" else ""
        found[key] = ", ".join([mine["method"] + similarity, *parts])
    return found


def _part(name: str, value: str) -> str:
    return value if name == "mode" else f"{name.removeprefix('params.')}={value}"


def table(found: Iterable[TargetResult]) -> dict[str, dict[str, float]]:
    """Return label → target (with its context) → value."""
    values: dict[str, dict[str, float]] = {}
    for cell in found:
        values.setdefault(cell.label, {})[f"{cell.context} {cell.target}"] = cell.value
    return values
