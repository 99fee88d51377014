"""Backtest on kept items: halves of the test items as independent measurements, and pilots on a few of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import linear_regression

from merginguriel.knowledge.parse.rows import ItemBits

from .backtest_policies import MIN_GAIN, Prediction, mean_interval
from .evidence import Arm, Observation
from .pilot import ARMS, halved, sizes_of
from .pilot import ahead as posterior
from .recipe_contrasts import passes_pp, rivals, worths

FEWEST = 3  # targets with kept items
LABELS = (50, 100, 200)  # of a pilot, at most two thirds of the items; a label serves all arms
PARTS = (6, 3, 2, 1)  # of the items, from small to whole, which show how the luck of the best arm falls
DRAWS = 24  # of each


@dataclass(frozen=True)
class PilotScore:
    """Gain of the arm chosen after a pilot over that of the first choice, on items that the pilot did not use.

    Attributes:
        more_pp: What the choice after the pilot gains more, with its 95% interval over targets.
        regret_pp: Mean regret before and after, against the best arm on endless items.
        hindsight_pp: Mean regret before, against the best arm on the items of the judgement: luck is part of it.
        harmed: Share of targets where the choice after the pilot gains less.
        surely_harmed: Share where it gains less by more than the noise of the fresh items (95%).
    """

    labels: int
    targets: int
    before_pp: float
    more_pp: tuple[float, float, float]
    regret_pp: tuple[float, float]
    hindsight_pp: float
    harmed: float
    surely_harmed: float


def gain_on(bits: ItemBits, mask: int) -> float:
    """Return the gain on the items of a mask, pp."""
    won = (bits.wins & mask).bit_count() - (bits.losses & mask).bit_count()
    return 100 * won / mask.bit_count()


def mask_of(items: Sequence[int]) -> int:
    """Return the mask of items."""
    return sum(1 << i for i in items)


def drawn(n: int, size: int, random_: random.Random) -> tuple[int, int]:
    """Return masks of a random part of n items and of the rest."""
    part = mask_of(random_.sample(range(n), size))
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
    if len(compared) < FEWEST:
        return ()
    best = _best_arm(
        [([one for _, one, _ in arms], arms[0][2]) for arms in compared.values()], random.Random(seed)
    )
    result = []
    for labels in LABELS:
        random_ = random.Random(seed)
        scores = [_target(arms, found, labels, replicates, random_) for _, arms in sorted(compared.items())]
        count = len(scores)
        before, after, luckiest = (sum(score[i] for score in scores) / count for i in range(3))
        more = [score[1] - score[0] for score in scores]
        result.append(
            PilotScore(
                labels, count, before, mean_interval(more), (best - before, best - after), luckiest - before,
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
    arms: Sequence[Kept], found: Sequence[Observation], labels: int, replicates: int, random_: random.Random
) -> tuple[float, float, float, float]:
    """Return the mean gains on a third of the items of the first choice, the choice after a pilot, and the best arm there.

    The pilot has at most the other two thirds. With the standard error of the second less the first, as if the draws of items
    were one.
    """
    n, ones, bits = arms[0][2], [one for one, _, _ in arms], [items for _, items, _ in arms]
    worth = worths(ones, MIN_GAIN)
    first = max(range(len(arms)), key=lambda i: (worth[i], ones[i].arm.label))
    target = ones[first].arm.target
    others = rivals(ones, first, [o for o in found if target not in o.arm.sources], MIN_GAIN)[: ARMS - 1]
    price = [passes_pp(one.arm, MIN_GAIN) for one in ones]
    totals = [0.0] * 4
    for _ in range(replicates):
        order = random_.sample(range(n), n)
        used, rest = order[: 2 * n // 3], mask_of(order[2 * n // 3 :])
        ahead, alive = {first: 0.0}, [first, *(one.place for one in others)]
        for size in sizes_of(min(labels, len(used)), len(alive)):
            part = mask_of(used[:size])
            for one in others:
                seen, noise = differ(bits[one.place], bits[first], part)
                seen -= price[one.place] - price[first]
                ahead[one.place] = posterior(one.ahead_pp, one.apart, seen, noise)
            alive = halved(sorted(alive, key=lambda i: -ahead[i]), first)
        chosen = alive[0]
        error = 0.0 if chosen == first else sqrt(differ(bits[chosen], bits[first], rest)[1])
        best = max(0.0, *(gain_on(one, rest) for one in bits))
        for i, value in enumerate((gain_on(bits[first], rest), gain_on(bits[chosen], rest), best, error)):
            totals[i] += value / replicates
    return totals[0], totals[1], totals[2], totals[3]


def _best_arm(compared: Sequence[tuple[Sequence[ItemBits], int]], random_: random.Random) -> float:
    """Return the mean gain that the best arm of each target would have on endless items, pp; 0, that of no merge, where it loses.

    How far the best of several arms is above their mean on m items, a(m), holds the spread of the arms and the noise of the items.
    As for the maximum of normal values with the sum of both variances, a(m)² is taken as linear in 1/m, and read at 1/m = 0.
    """
    above: list[float] = []
    level = 0.0
    for part in PARTS:
        every = []
        for bits, n in compared:
            for _ in range(DRAWS):
                mask = drawn(n, max(n // part, 1), random_)[0]
                gains = [gain_on(one, mask) for one in bits]
                every.append((max(gains), sum(gains) / len(gains)))
        best, level = (sum(values) / len(every) for values in zip(*every, strict=True))
        above.append((best - level) ** 2)
    return max(level + sqrt(max(linear_regression(PARTS, above).intercept, 0.0)), 0.0)


def differ(one: ItemBits, other: ItemBits, mask: int) -> tuple[float, float]:
    """Return how much more an arm gains than another on the items of a mask, pp, and the variance of that."""
    m, mean = mask.bit_count(), gain_on(one, mask) - gain_on(other, mask)
    squares = (((one.wins ^ other.wins) | (one.losses ^ other.losses)) & mask).bit_count()
    return mean, (1e4 * (squares + 1) - m * mean**2) / (m + 1) / m
