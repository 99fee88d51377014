"""What would a cheap trial be worth, and what would it cost?"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from .. import stats
from .estimate import Estimate

# What work costs, as a share of the smallest gain worth a merge: a judgement, and the same for every question.
PRICES = {"merges": 0.01, "evaluations": 0.01, "trainings": 0.02}


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
