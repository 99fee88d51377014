"""What does one setting change, everything else equal? Paired differences over targets; merge against ensemble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import sqrt

from merginguriel import stats

from .comparisons import ALPHA, WORDS, Cell, Difference, of_arms, over_seeds, over_seeds_by_items
from .loading import ENSEMBLE, MERGE

# Fewer tell nothing of another target: two point the same way by luck one time in two, and t has one degree of freedom.
FEWEST = 3
Place = tuple[str, tuple[tuple[str, str], ...]]  # a target, and every setting but the one that is compared


@dataclass(frozen=True)
class Setting:
    """One value of a key against another, everything else equal. by_target: mean difference in pp on each."""

    key: str
    a: str
    b: str
    by_target: Mapping[str, float]
    pairs: int
    difference: Difference


def t_over_targets(values: Mapping[str, float]) -> Difference:
    """Mean of one difference per target, the targets being the sample: Student's t, degrees of freedom T − 1.

    Of fewer than FEWEST, the mean alone. It speaks of other targets too, where `evaluation.across.over_targets` draws items and leaves the targets fixed.
    """
    each = list(values.values())
    mean = sum(each) / len(each)
    if len(each) < FEWEST:
        return Difference(mean, paired=True, units=len(each))
    variance = sum((d - mean) ** 2 for d in each) / (len(each) - 1) / len(each)
    if variance < 1e-18:  # equal on every target: nothing tells the noise, unless there is none
        return Difference(mean, p=None if abs(mean) > 1e-9 else 1.0, paired=True, units=len(each))
    df, se = len(each) - 1, sqrt(variance)
    half = stats.student_inv_cdf(1 - ALPHA / 2, df) * se
    mde = stats.minimum_detectable_effect(variance, groups=len(each))
    p = stats.student_two_sided_p(mean / se, df)
    return Difference(mean, mean - half, mean + half, se, mde, p, None, True, len(each))


def keys_that_vary(found: Sequence[Cell]) -> list[str]:
    """Settings with two values or more among the merges, the method itself aside."""
    values: dict[str, set[str]] = {}
    for cell in found:
        if cell.kind == MERGE:
            for name, value in cell.key:
                values.setdefault(name, set()).add(value)
    return [n for n, v in values.items() if len(v) > 1 and n not in ("method", *WORDS)]


def settings(found: Sequence[Cell], key: str) -> list[Setting]:
    """Each two values of `key` where merges differ in nothing else, Holm over all of them. Empty if none do.

    What follows from the key may differ: with the method its parameters, with k, mode and similarity the sources.
    Seeds are paired: one that only one side has does not count.
    """
    sides: dict[str, dict[Place, dict[int | None, list[float]]]] = {}
    for cell in found:
        mine = dict(cell.key)
        if cell.kind != MERGE:
            continue
        rest = tuple(
            (name, value)
            for name, value in cell.key
            if value != "-"
            and name not in (key, *WORDS)
            and not (key == "method" and name.startswith("params."))
        )
        # Two recipes of one method that differ in parameters only are averaged where methods are compared.
        place = f"{cell.context} {cell.target}", rest
        by_seed = sides.setdefault(mine.get(key, "-"), {}).setdefault(place, {})
        for arm in cell.arms:
            by_seed.setdefault(arm.row.seed, []).append(arm.row.value)
    compared = []
    for b, a in combinations(sorted(sides, key=_order), 2):
        shared: dict[str, list[float]] = {}
        for place in sides[a].keys() & sides[b].keys():
            one, other = sides[a][place], sides[b][place]
            seeds = [seed for seed in one if seed in other]
            if seeds:
                difference = 100 * _mean([_mean(one[seed]) - _mean(other[seed]) for seed in seeds])
                shared.setdefault(place[0], []).append(difference)
        if shared:
            by_target = {target: _mean(sorted(shared[target])) for target in sorted(shared)}
            pairs = sum(map(len, shared.values()))
            compared.append(Setting(key, a, b, by_target, pairs, t_over_targets(by_target)))
    return with_holm(compared)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def family(compared: Sequence[Setting]) -> int:
    """How many of them have a p, over which Holm counts."""
    return sum(s.difference.p is not None for s in compared)


def with_holm(compared: Sequence[Setting]) -> list[Setting]:
    known = [i for i, s in enumerate(compared) if s.difference.p is not None]
    adjusted = dict(zip(known, stats.holm([compared[i].difference.p or 0.0 for i in known]), strict=True))
    return [
        replace(s, difference=replace(s.difference, p_holm=adjusted.get(i))) for i, s in enumerate(compared)
    ]


def _order(value: str) -> tuple[bool, float, str]:
    """Numbers by size, then words."""
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value


# merge against ensemble


def vote_name(vote: Cell) -> str:
    """The ensemble without what it shares with the merge beside it: sources, their number, mode."""
    mine = dict(vote.key)
    return mine["method"] + (f" ({mine['similarity']})" if mine["similarity"] != "-" else "")


def ensembles(found: Sequence[Cell]) -> tuple[list[Setting], list[tuple[Cell, Cell, Difference]]]:
    """Every merge against every ensemble of the same sources: over targets, and on each target. Holm over each."""
    merges = [cell for cell in found if cell.kind == MERGE]
    voted = [cell for cell in found if cell.kind == ENSEMBLE]
    by_pair: dict[tuple[str, str], dict[str, list[float]]] = {}
    single = []
    for merge in merges:
        for vote in voted:
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
            rights = [b.right if a.items == b.items else None for a, b in same]
            difference = over_seeds_by_items([a for a, _ in same], rights) or over_seeds(
                [of_arms(a, b) for a, b in same]
            )
            single.append((merge, vote, difference))
            target = f"{merge.context} {merge.target}"
            by_pair.setdefault((merge.label, vote_name(vote)), {}).setdefault(target, []).append(
                difference.value
            )
    over = [
        Setting("ensemble", a, b, means, sum(map(len, values.values())), t_over_targets(means))
        for (a, b), values in sorted(by_pair.items())
        for means in [{target: sum(d) / len(d) for target, d in values.items()}]
    ]
    known = [i for i, (_, _, d) in enumerate(single) if d.p is not None]
    adjusted = dict(zip(known, stats.holm([single[i][2].p or 0.0 for i in known]), strict=True))
    return with_holm(over), [(m, v, replace(d, p_holm=adjusted.get(i))) for i, (m, v, d) in enumerate(single)]
