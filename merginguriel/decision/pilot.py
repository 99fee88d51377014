"""What would a cheap trial be worth, and what would it cost?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import NamedTuple

from merginguriel import stats

from .estimate import Estimate

# What work costs, as a share of the smallest gain worth a merge: a judgement, and the same for every question.
PRICES = {"merges": 0.01, "evaluations": 0.01, "trainings": 0.02}


class Plan(NamedTuple):
    """A trial: what it would merge, the work that this takes, and the gain in pp that the work must bring.

    whole  the work of the trial that would be proposed if work were no matter
    """

    arms: list[str]
    cost: dict[str, int]
    price_pp: float
    whole: dict[str, int]

    @property
    def pieces(self) -> int:
        return sum(self.cost.values())

    @property
    def cut(self) -> bool:
        """Is something left out for the budget?"""
        return self.cost != self.whole


def expected_improvement(mean_pp: float, sd_pp: float) -> float:
    """E[max(gain, 0)] in pp for a normal gain: what a free and perfect answer would be worth before `mean` is taken."""
    z = mean_pp / sd_pp
    return mean_pp * stats.NORMAL.cdf(z) + sd_pp * stats.NORMAL.pdf(z)


def value_of_trial(
    estimate: Estimate, trial_variance_pp: float, min_gain_pp: float, *, merging: bool = False
) -> float:
    """Expected gain in pp from deciding after a trial rather than now (expected value of sample information).

    A merge pays what it gains beyond `min_gain_pp`; not merging pays nothing. The trial measures the gain with
    `trial_variance_pp` (pp²). Raiffa & Schlaifer 1961, ch. 5, normal prior and normal sampling.

    merging  would the merge be made without a trial? Else not merging is what a trial is compared with, however
             much the merge is expected to gain: a gain that is not proven is not taken.
    """
    prior = estimate.sd_pp**2
    preposterior_sd = prior / sqrt(prior + trial_variance_pp)
    payoff = estimate.mean_pp - min_gain_pp
    return expected_improvement(payoff, preposterior_sd) - (payoff if merging else 0.0)


def work(arms: int, missing: int) -> dict[str, int]:
    """What a trial of `arms` merges takes when `missing` source models are not there yet."""
    return {"merges": arms, "evaluations": arms + missing, "trainings": missing}


def price_pp(cost: Mapping[str, int], min_gain_pp: float) -> float:
    """The gain in pp that the work must be expected to bring."""
    return min_gain_pp * sum(PRICES[name] * count for name, count in cost.items())


def planned(
    arms: Sequence[str], missing: int, min_gain_pp: float, budget: int | None, *, wanted_pp: float
) -> Plan:
    """The trial of all `arms`; where the budget has not so many pieces of work, of the first alone, which is the recipe.

    wanted_pp  what a trial is worth, in pp. One that is not worth all its work stays whole: a budget takes proposals
               away, and never makes one
    """
    whole = work(len(arms), missing)
    price = price_pp(whole, min_gain_pp)
    if budget is None or sum(whole.values()) <= budget or wanted_pp < price:
        return Plan(list(arms), whole, price, whole)
    least = work(1, missing)
    return Plan(list(arms[:1]), least, price_pp(least, min_gain_pp), whole)
