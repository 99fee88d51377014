"""What gain does the evidence predict for a setting on a target, and how sure is that?

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

from .. import stats
from . import covariance
from .covariance import EFFECTS, LEVEL_SD
from .evidence import Noise, Observation, Setting

# Inverse-gamma prior of every variance but the level's: mode (2 pp)², weak (worth about four observations).
PRIOR_SHAPE, PRIOR_SCALE = 1.0, 8.0
ITERATIONS = 100  # at most; the shipped log settles in eight
SETTLED = 1e-4  # change of every variance's logarithm at which the fit ends
SMALLEST = 1e-4  # share of a step that is still tried
LONGEST = 2.0  # step in a variance's logarithm


class Estimate(NamedTuple):
    """Predicted gain in pp, and each observation's part of the mean, in pp."""

    mean_pp: float
    sd_pp: float
    parts_pp: tuple[float, ...]

    def interval(self, level: float) -> tuple[float, float]:
        half = stats.NORMAL.inv_cdf(0.5 + level / 2) * self.sd_pp
        return self.mean_pp - half, self.mean_pp + half

    def p_above(self, gain_pp: float) -> float:
        """P(true gain > gain_pp)."""
        return 1 - stats.NORMAL.cdf((gain_pp - self.mean_pp) / self.sd_pp)


class Model(NamedTuple):
    """A fitted model: the observations, the variance of each effect in pp², and the covariance, factored.

    Without observations there is nothing to factor.
    """

    settings: tuple[Setting, ...]
    gains: np.ndarray  # [n] pp
    variances: dict[str, float]
    factor: covariance.Factor | None


def fit(found: Sequence[Observation], noise: Noise) -> Model:
    """Estimate the variance of every effect: the mode of the likelihood times the inverse-gamma prior.

    Newton's method on the logarithms of the variances, with the average of the observed and the expected information
    for the likelihood's curvature (Gilmour, Thompson & Cullis 1995, "Average Information REML", eq. 5, here without
    fixed effects), and steps halved until the penalised likelihood rises.
    """
    gains = np.array([o.gain_pp for o in found])
    settings = tuple(o.setting for o in found)
    # Effects that the rows cannot tell apart begin apart, the finer the larger: from the same place they would end on the
    # saddle between the ways to share the variance, or beside it, as the order of the rows is rounded.
    logs = np.log(PRIOR_SCALE / (PRIOR_SHAPE + 1)) + np.linspace(-0.5, 0.5, len(EFFECTS))
    factor = None
    if found:
        design = covariance.design(settings, noise)
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
    return Model(settings, gains, dict(zip(EFFECTS, np.exp(logs).tolist(), strict=True)), factor)


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


def predict(model: Model, setting: Setting) -> Estimate:
    """The gain of `setting`, given everything observed."""
    prior = LEVEL_SD**2 + sum(model.variances.values())
    if model.factor is None:
        return Estimate(0.0, sqrt(prior), ())
    shared = covariance.shared_with(model.factor, setting)
    weights = model.factor.solve(shared[:, None])[:, 0]
    variance = max(prior - float(shared @ weights), 1e-6)
    parts = weights * model.gains
    return Estimate(float(parts.sum()), sqrt(variance), tuple(parts.tolist()))


class Calibration(NamedTuple):
    """How often the true figure fell inside the interval when each target was predicted from the others."""

    targets: int
    predictions: int
    inside80: float
    inside90: float
    mean_error_pp: float


def calibrate(found: Sequence[Observation], model: Model) -> Calibration | None:
    """Leave one target out: predict its measured gains from all other targets' rows, same variances.

    Without a block H of rows, the errors of their prediction are (V⁻¹)_HH⁻¹ (V⁻¹ y)_H, and their covariance is
    (V⁻¹)_HH⁻¹ (Rasmussen & Williams 2006, section 5.4.2, for one row), so nothing is fitted again.
    """
    if model.factor is None:
        return None
    design = model.factor.design
    asked = design.blocks(np.array([o.kind == "gain" for o in found]))
    alone = np.linalg.inv(model.factor.within())
    residual = design.blocks(model.factor.solve(model.gains[:, None]))
    errors = (alone @ residual)[..., 0][asked]
    scores = np.abs(errors) / np.sqrt(np.diagonal(alone, axis1=1, axis2=2)[asked])
    targets = int(asked.any(axis=1).sum())
    if targets < 3:
        return None
    z80, z90 = stats.NORMAL.inv_cdf(0.9), stats.NORMAL.inv_cdf(0.95)
    return Calibration(
        targets=targets,
        predictions=len(scores),
        inside80=float(np.mean(scores <= z80)),
        inside90=float(np.mean(scores <= z90)),
        mean_error_pp=float(np.mean(np.abs(errors))),
    )
