"""Backtest on kept items: halves of the test items as independent measurements, and pilots on a few of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

from merginguriel.knowledge.parse.rows import ItemBits

from .backtest_policies import MIN_GAIN, Prediction, mean_interval
from .evidence import Arm, Observation
from .pilot import surely_ahead
from .recipe_contrasts import expected, passes_pp, worths

FEWEST = 3  # targets with kept items
LABELS = (50, 100, 200)  # of a pilot, at most half of the items
ARMS = 4  # that a pilot tries


@dataclass(frozen=True)
class PilotScore:
    """Gain of the arm chosen after a pilot over that of the first choice, on items that the pilot did not use.

    Attributes:
        more_pp: What the choice after the pilot gains more, with its 95% interval over targets.
        regret_pp: Mean regret before and after, against the best arm on these items.
        harmed: Share of targets where the choice after the pilot gains less.
        surely_harmed: Share where it gains less by more than the noise of the fresh items (95%).
    """

    labels: int
    targets: int
    before_pp: float
    more_pp: tuple[float, float, float]
    regret_pp: tuple[float, float]
    harmed: float
    surely_harmed: float


def gain_on(bits: ItemBits, mask: int) -> float:
    """Return the gain on the items of a mask, pp."""
    won = (bits.wins & mask).bit_count() - (bits.losses & mask).bit_count()
    return 100 * won / mask.bit_count()


def drawn(n: int, size: int, random_: random.Random) -> tuple[int, int]:
    """Return masks of a random part of n items and of the rest."""
    part = sum(1 << i for i in random_.sample(range(n), size))
    return part, ((1 << n) - 1) & ~part


def enough(found: Sequence[Observation]) -> bool:
    """Return whether items of enough targets were kept."""
    return len({o.arm.target for o in found if o.row.items}) >= FEWEST


def halves(
    found: Sequence[Observation], random_: random.Random
) -> tuple[list[Observation], dict[Arm, list[Observation]]]:
    """Return the gains on a random half of the test items, and those on the other half by arm, where items are kept."""
    seen: list[Observation] = []
    fresh: dict[Arm, list[Observation]] = {}
    masks: dict[tuple[str, int], tuple[int, int]] = {}
    for o in found:
        n = o.row.n or 0
        if not o.row.items or n < 2:
            continue
        bits = ItemBits.parse(o.row.items)
        key = bits.test_set, n
        if key not in masks:
            masks[key] = drawn(n, n // 2, random_)
        first, second = (
            replace(o, gain_pp=gain_on(bits, mask), variance=o.variance * n / mask.bit_count())
            for mask in masks[key]
        )
        seen.append(first)
        fresh.setdefault(o.arm, []).append(second)
    return seen, fresh


def pilots(
    told: Sequence[Prediction], found: Sequence[Observation], *, seed: int, replicates: int
) -> tuple[PilotScore, ...]:
    """Return what pilots on kept items would have changed, on targets that were left out."""
    compared = {target: arms for target, arms in _kept(told, found).items() if len(arms) > 1}
    result = []
    for labels in LABELS if len(compared) >= FEWEST else ():
        random_ = random.Random(seed)
        scores = [_target(arms, labels, replicates, random_) for _, arms in sorted(compared.items())]
        count = len(scores)
        before, after, best = (sum(score[i] for score in scores) / count for i in range(3))
        more = [score[1] - score[0] for score in scores]
        result.append(
            PilotScore(
                labels, count, before, mean_interval(more), (best - before, best - after),
                sum(one < 0 for one in more) / count,
                sum(one < -1.96 * score[3] for one, score in zip(more, scores, strict=True)) / count,
            )
        )  # fmt: skip
    return tuple(result)


Kept = tuple[Prediction, ItemBits, int]  # an arm, its items, and their number


def _kept(told: Sequence[Prediction], found: Sequence[Observation]) -> dict[str, list[Kept]]:
    """Return target → arms whose items were kept, all against the same baseline: the one of most arms."""
    groups: dict[str, dict[object, list[Kept]]] = {}
    rows = {(o.arm, o.row.n): o.row for o in found if o.row.items}
    for one in told:
        row = rows.get((one.arm, one.n))
        if row is not None and row.items and row.n:
            bits = ItemBits.parse(row.items)
            same = groups.setdefault(one.arm.target, {}).setdefault((bits.test_set, row.baseline), [])
            same.append((one, bits, row.n))
    return {target: max(same.values(), key=len) for target, same in groups.items()}


def _target(
    arms: Sequence[Kept], labels: int, replicates: int, random_: random.Random
) -> tuple[float, float, float, float]:
    """Return the mean gains on unused items of the first choice, the choice after a pilot, and the best arm.

    With the standard error of the second less the first, as if the draws of items were one.
    """
    n = arms[0][2]
    size = min(labels, n // 2)
    ones, bits = [one for one, _, _ in arms], [items for _, items, _ in arms]
    worth, prior = worths(ones, MIN_GAIN), expected(ones, MIN_GAIN)
    first, *others = sorted(range(len(arms)), key=lambda i: (-worth[i], ones[i].arm.label))[:ARMS]
    price = [passes_pp(one.arm, MIN_GAIN) for one in ones]
    totals = [0.0] * 4
    for _ in range(replicates):
        part, rest = drawn(n, size, random_)
        chosen, most = first, 0.0
        for i in others:
            ahead = surely_ahead(prior[i], prior[first], *differ(bits[i], bits[first], part))
            if ahead - price[i] + price[first] > most:
                chosen, most = i, ahead - price[i] + price[first]
        error = 0.0 if chosen == first else sqrt(differ(bits[chosen], bits[first], rest)[1])
        best = max(0.0, *(gain_on(one, rest) for one in bits))
        for i, value in enumerate((gain_on(bits[first], rest), gain_on(bits[chosen], rest), best, error)):
            totals[i] += value / replicates
    return totals[0], totals[1], totals[2], totals[3]


def differ(one: ItemBits, other: ItemBits, mask: int) -> tuple[float, float]:
    """Return how much more an arm gains than another on the items of a mask, pp, and the variance of that."""
    m, mean = mask.bit_count(), gain_on(one, mask) - gain_on(other, mask)
    squares = (((one.wins ^ other.wins) | (one.losses ^ other.losses)) & mask).bit_count()
    return mean, (1e4 * (squares + 1) - m * mean**2) / (m + 1) / m
