"""Value and cost of a trial before the decision."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log2, sqrt
from typing import NamedTuple, TypeVar

from merginguriel import stats

from .advice_types import PilotCost
from .arm_types import ArmName
from .estimate import Estimate

# Price of a piece of work, as a share of the smallest gain worth a merge: a judgement, the same for every question.
PRICES = {"merges": 0.01, "evaluations": 0.01, "trainings": 0.02}
MERGE_AT = 0.95  # P(gain > 0) from which merging is advised: a win must be more than noise
ARMS = 4  # of a trial at most
TRIAL = 9.0  # pp², variance of the difference of two arms on 100 items of which they answer 9% differently
FEWEST = 20  # items in the first round of a trial

T = TypeVar("T")


class PilotPlan(NamedTuple):
    """A trial.

    Attributes:
        price_pp: The gain in pp that the work must be expected to bring.
        whole: The work without a budget.
    """

    arms: tuple[ArmName, ...]
    cost: PilotCost
    price_pp: float
    whole: PilotCost

    @property
    def cut(self) -> bool:
        """Whether arms are left out because of the budget."""
        return self.cost != self.whole


def value_of_trial(
    estimate: Estimate, trial_variance_pp: float, min_gain_pp: float, *, merging: bool = False
) -> float:
    """Return the expected gain in pp from deciding after a trial rather than now.

    This is the expected value of sample information with normal prior and normal sampling (Raiffa & Schlaifer 1961,
    ch. 5), where a gain is taken only if the trial proves it: expected gain `min_gain_pp` or more, and P(gain > 0)
    `MERGE_AT` or more. A merge pays what it gains beyond `min_gain_pp`; not merging pays 0.

    Args:
        estimate: The gain as it is expected now.
        trial_variance_pp: Sampling variance of the trial, pp².
        min_gain_pp: Smallest gain worth a merge, pp.
        merging: Whether the merge would be made without a trial; otherwise the trial is compared with not merging,
            whatever the expected gain, because a gain that is not proven is not taken.
    """
    prior = estimate.sd_pp**2
    spread = prior / sqrt(prior + trial_variance_pp)  # of the mean after the trial
    after = sqrt(prior * trial_variance_pp / (prior + trial_variance_pp))
    least = max(min_gain_pp, stats.NORMAL.inv_cdf(MERGE_AT) * after)
    z = (least - estimate.mean_pp) / spread
    payoff = estimate.mean_pp - min_gain_pp
    taken = spread * stats.NORMAL.pdf(z) + payoff * (1 - stats.NORMAL.cdf(z))
    return taken - (payoff if merging else 0.0)


def ahead(prior_pp: float, apart: float, seen_pp: float, noise: float) -> float:
    """Return the posterior mean of what an arm gains more than the advised one, pp.

    Args:
        prior_pp: The same before the trial.
        apart: Variance of it, pp².
        seen_pp: Paired difference on the items of the trial.
        noise: Variance of that, pp².
    """
    return (noise * prior_pp + apart * seen_pp) / (apart + noise)


def value_of_arm(prior_pp: float, apart: float) -> float:
    """Return the expected gain in pp from trying an arm beside the advised one; Raiffa & Schlaifer 1961, ch. 5."""
    spread = apart / sqrt(apart + TRIAL)
    z = prior_pp / spread
    return spread * stats.NORMAL.pdf(z) + prior_pp * stats.NORMAL.cdf(z)


def sizes_of(units: int, arms: int) -> list[int]:
    """Return the number of units seen after each round: doubled each round, all of them in the last."""
    rounds = max(ceil(log2(arms)), 2)
    found = [units // 2 ** (rounds - 1 - i) for i in range(rounds)]
    return sorted({max(min(size, units), min(FEWEST, units)) for size in found})


def halved(order: Sequence[T], advised: T) -> list[T]:
    """Return the first half of arms, best first, and the advised arm, which others are compared with, until the last round."""
    kept = list(order[: ceil(len(order) / 2)])
    if len(kept) > 1 and advised in order and advised not in kept:
        kept[-1] = advised
    return kept


def work(arms: int, missing: int) -> PilotCost:
    """Return the work of a trial of `arms` merges where `missing` source models must be trained."""
    return PilotCost(merges=arms, evaluations=arms + missing, trainings=missing)


def price_pp(cost: PilotCost, min_gain_pp: float) -> float:
    """Return the gain in pp that the work must be expected to bring."""
    return min_gain_pp * sum(price * getattr(cost, name) for name, price in PRICES.items())


def planned(
    arms: Sequence[ArmName], missing: int, min_gain_pp: float, budget: int | None, *, wanted_pp: float
) -> PilotPlan:
    """Return the trial of all `arms`, or of the first alone (the recipe) where the budget is smaller.

    A trial whose value `wanted_pp` is less than its price is not reduced: a budget removes proposals and never adds one.
    """
    whole = work(len(arms), missing)
    price = price_pp(whole, min_gain_pp)
    if budget is None or whole.pieces <= budget or wanted_pp < price:
        return PilotPlan(tuple(arms), whole, price, whole)
    least = work(1, missing)
    return PilotPlan(tuple(arms[:1]), least, price_pp(least, min_gain_pp), whole)
