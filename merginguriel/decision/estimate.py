"""Expected gain of an arm on a target, with its uncertainty.

A linear mixed model with crossed random effects (Henderson 1975): a gain is the sum of an overall level, and of
deviations of context, target, method, and their combinations down to the single cell. Each kind of deviation has a
variance, estimated from all rows; a prediction borrows from other rows in proportion. Best linear unbiased
prediction, so the mean is a weighted sum of the measured gains, and each row's part of it can be shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np

from merginguriel import stats

from . import covariance, variance_cache
from .covariance import EFFECTS, LEVEL_SD
from .evidence import Arm, Noise, Observation
from .replicates import Repeats, repeats

# Inverse-gamma prior of every variance but the level's: mode (2 pp)², weak (worth about four observations).
PRIOR_SHAPE, PRIOR_SCALE = 1.0, 8.0
ITERATIONS = 100  # at most; the shipped log settles in eight
SETTLED = 1e-4  # change of every variance's logarithm at which the fit ends
SMALLEST = 1e-4  # share of a step that is still tried
LONGEST = 2.0  # step in a variance's logarithm


class Estimate(NamedTuple):
    """Predicted gain in pp, and each observation's part of the mean, in pp.

    df  degrees of freedom that `sd_pp` rests on: Student's t; None: normal
    """

    mean_pp: float
    sd_pp: float
    parts_pp: tuple[float, ...]
    df: int | None = None

    def interval(self, level: float) -> tuple[float, float]:
        """Return the interval that contains the gain with probability `level`, pp."""
        p = 0.5 + level / 2
        half = (stats.student_inv_cdf(p, self.df) if self.df else stats.NORMAL.inv_cdf(p)) * self.sd_pp
        return self.mean_pp - half, self.mean_pp + half

    def p_above(self, gain_pp: float) -> float:
        """P(true gain > gain_pp)."""
        z = (self.mean_pp - gain_pp) / self.sd_pp
        if self.df is None:
            return stats.NORMAL.cdf(z)
        beyond = stats.student_two_sided_p(z, self.df) / 2
        return 1 - beyond if z > 0 else beyond


class Model(NamedTuple):
    """A fitted model: the observations, the variance of each effect in pp², and the covariance, factored.

    Without observations there is nothing to factor.
    """

    arms: tuple[Arm, ...]
    gains: np.ndarray  # [n] pp
    variances: dict[str, float]
    factor: covariance.Factor | None
    pooled: (
        np.ndarray
    )  # [g] pp, what the rows of each merge say together; the gains, where nothing was measured twice
    repeated: Repeats | None = None

    def weights(self, pooled: np.ndarray) -> np.ndarray:
        """[n] what each row weighs, where its merges weigh `pooled` [g]."""
        if self.repeated is None or self.factor is None:
            return pooled
        design = self.factor.design
        shares = (design.noise @ design.blocks(pooled[:, None]))[design.place][:, 0]
        return self.repeated.weighed(shares[self.repeated.merge])


def fit(found: Sequence[Observation], noise: Noise, features: np.ndarray, *, keep: bool = False) -> Model:
    """Fit the variances of the model to observations.

    Args:
        found: Measured gains, n of them.
        noise: Their noise.
        features: Compatibility of each merge's sources, [n, f]; a linear part of the gain with slopes shrunk to 0.
        keep: Read the variances from the user's cache if the same was fitted before, and write them there.
    """
    gains = np.array([o.gain_pp for o in found])
    arms = tuple(o.arm for o in found)
    if not found:
        return Model(arms, gains, dict(zip(EFFECTS, np.exp(_start()).tolist(), strict=True)), None, gains)
    repeated = repeats(arms, noise, features)
    design = covariance.design(arms, noise, features, repeated)
    pooled = gains
    if repeated is not None:
        told = repeated.total(repeated.weighed(gains))
        pooled = (design.noise @ design.blocks(told[:, None]))[design.place][:, 0]
    key = variance_cache.digest(arms, gains, noise, features) if keep else None
    known = variance_cache.recall(key, len(EFFECTS)) if key else None
    factor = _settle(design, pooled) if known is None else covariance.factor(design, known)
    if key and known is None:
        variance_cache.remember(key, factor.variances)
    variances = dict(zip(EFFECTS, factor.variances.tolist(), strict=True))
    return Model(arms, gains, variances, factor, pooled, repeated)


def _start() -> np.ndarray:
    """[effects] logarithms.

    Effects that the rows cannot tell apart begin apart, the finer the larger: from the same place they would end on the
    saddle between the ways to share the variance, or beside it, as the order of the rows is rounded.
    """
    return np.log(PRIOR_SCALE / (PRIOR_SHAPE + 1)) + np.linspace(-0.5, 0.5, len(EFFECTS))


def _settle(design: covariance.Design, gains: np.ndarray) -> covariance.Factor:
    """Estimate the variance of every effect: the mode of the likelihood times the inverse-gamma prior.

    Newton's method on the logarithms of the variances, with the average of the observed and the expected information
    for the likelihood's curvature (Gilmour, Thompson & Cullis 1995, "Average Information REML", eq. 5, here without
    fixed effects), and steps halved until the penalised likelihood rises.
    """
    logs = _start()
    factor = covariance.factor(design, np.exp(logs))
    for _ in range(ITERATIONS):
        slope, step = _newton(factor, gains)
        step *= min(1.0, LONGEST / float(np.abs(step).max()))
        start, share = _loss(factor, gains), 1.0
        rounding = 1e-10 * (1 + abs(start))  # below this a change of the loss says nothing
        while True:
            tried = covariance.factor(design, np.exp(logs + share * step))
            fall = -1e-4 * share * float(slope @ step)
            if _loss(tried, gains) <= start - fall + rounding or share < SMALLEST:
                break
            share /= 2
        logs, factor = logs + share * step, tried
        if float(np.abs(share * step).max()) <= SETTLED:
            break
    return factor


def _loss(factor: covariance.Factor, gains: np.ndarray) -> float:
    """−2 × the logarithm of likelihood × prior, up to a constant."""
    v = factor.variances
    prior = float(np.sum(2 * (PRIOR_SHAPE + 1) * np.log(v) + 2 * PRIOR_SCALE / v))
    return factor.logdet + float(gains @ factor.solve(gains[:, None])[:, 0]) + prior


def _newton(factor: covariance.Factor, gains: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[effects] the slope of the loss in the logarithms of the variances, and the step to where it would end."""
    v = factor.variances
    residual = factor.solve(gains[:, None])[:, 0]
    moved = covariance.spread_over(factor.design, residual)
    slope = v * (covariance.traces(factor) - residual @ moved) + 2 * (PRIOR_SHAPE + 1) - 2 * PRIOR_SCALE / v
    curvature = np.outer(v, v) * (moved.T @ factor.solve(moved)) + np.diag(2 * PRIOR_SCALE / v)
    return slope, -np.linalg.solve(curvature, slope)


def predict(model: Model, arm: Arm, features: np.ndarray) -> Estimate:
    """Predict the gain of an arm from all observations.

    Args:
        model: The fitted model.
        arm: The arm.
        features: Compatibility of its sources, [f]; 0 where unknown.
    """
    own = sum(v for name, v in model.variances.items() if name != covariance.SLOPES)
    prior = LEVEL_SD**2 + own + model.variances[covariance.SLOPES] * float(features @ features)
    if model.factor is None:
        return Estimate(0.0, sqrt(prior), ())
    shared = covariance.shared_with(model.factor, arm, features)
    weights = model.factor.solve(shared[:, None])[:, 0]
    variance = max(prior - float(shared @ weights), 1e-6)
    parts = model.weights(weights) * model.gains
    return Estimate(float(parts.sum()), sqrt(variance), tuple(parts.tolist()))


class Slope(NamedTuple):
    """What one standard deviation more of a feature does to a gain, in pp."""

    mean_pp: float
    sd_pp: float


def slopes(model: Model) -> list[Slope]:
    """Return the posterior of every feature's slope; empty without observations."""
    if model.factor is None:
        return []
    design = model.factor.design
    found = []
    for column in np.flatnonzero(design.owner == covariance.CROSSING.index(covariance.SLOPES)):
        prior = float(model.factor.spread[column])
        shared = prior * design.crossed[:, column]
        weights = model.factor.solve(shared[:, None])[:, 0]
        variance = max(prior - float(shared @ weights), 1e-9)
        found.append(Slope(float(weights @ model.pooled), sqrt(variance)))
    return found
