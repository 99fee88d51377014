"""Calibration of predictions: each target predicted from the others, and the width of intervals that follows.

The model gives every method one variance on a target; some collapse on one target and hold on the next. So a method's
own errors, with its targets left out, scale what the model says of it: the prior of the scale is 1, worth PRIOR_DF
observations, and the interval is Student's t, as of any scale that was estimated (Gelman et al. 2013, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from merginguriel import stats

from . import estimate as model
from .evidence import Arm, Observation

PRIOR_DF = 2
FEWEST = 3  # targets, of anything; of one method, below which all methods' errors stand for it
NORMAL_FROM = 60  # degrees of freedom from which Student's t is taken as normal


class LeftOut(NamedTuple):
    """What is measured of n gains, each predicted without its target: errors in pp, and over the sd that was said."""

    errors: np.ndarray  # [n] pp
    scores: np.ndarray  # [n]
    methods: np.ndarray  # [n] text
    targets: np.ndarray  # [n] number of the context and target


class Calibration(NamedTuple):
    """How often the true figure fell inside the interval when each target was predicted from the others."""

    targets: int
    predictions: int
    inside80: float
    inside90: float
    mean_error_pp: float


class Scale(NamedTuple):
    """What to multiply a predicted sd by, and the degrees of freedom of that. None: as good as normal."""

    factor: float
    df: int | None


def leave_targets_out(found: Sequence[Observation], fitted: model.Model) -> LeftOut | None:
    """Every measured gain predicted from all other targets' rows, same variances; None for fewer than three targets.

    Without a block H of rows, the errors of their prediction are (V⁻¹)_HH⁻¹ (V⁻¹ y)_H, and their covariance is
    (V⁻¹)_HH⁻¹ (Rasmussen & Williams 2006, section 5.4.2, for one row), so nothing is fitted again.
    """
    if fitted.factor is None:
        return None
    design = fitted.factor.design
    gains = np.array([o.kind == "gain" for o in found])
    repeated = fitted.repeated
    rows = np.arange(len(found)) if repeated is None else repeated.merge
    blocks = design.place[0][rows][gains]
    if len(set(blocks.tolist())) < FEWEST:
        return None
    alone = np.linalg.inv(fitted.factor.within())
    residual = design.blocks(fitted.factor.solve(fitted.pooled[:, None]))
    errors = (alone @ residual)[..., 0][design.place]
    variances = np.diagonal(alone, axis1=1, axis2=2)[design.place]
    if repeated is not None:
        # A merge's rows miss the same prediction, each with noise of its own in place of the noise of all together.
        errors = fitted.gains - (fitted.pooled - errors)[rows]
        variances = variances - np.diagonal(design.noise, axis1=1, axis2=2)[design.place]
        variances = variances[rows] + np.array([o.variance for o in found])
    errors, sds = errors[gains], np.sqrt(variances[gains])
    methods = np.array([o.arm.method for o in found])[gains]
    return LeftOut(errors, errors / sds, methods, blocks)


def scale(left: LeftOut, method: str, *, besides: int | None = None) -> Scale:
    """How much wider than the model says the errors of `method` are. Never narrower.

    besides  number of a target whose errors are not looked at

    A target's errors share its surprises, so it counts once, with the mean of their squares.
    """
    kept = np.ones(len(left.scores), bool) if besides is None else left.targets != besides
    own = kept & (left.methods == method)
    used = own if len(np.unique(left.targets[own])) >= FEWEST else kept
    rows = np.bincount(left.targets[used])
    sums = np.bincount(left.targets[used], left.scores[used] ** 2)
    squares = sums[rows > 0] / rows[rows > 0]
    df = PRIOR_DF + len(squares)
    factor = max(1.0, float(np.sqrt((PRIOR_DF + squares.sum()) / df)))
    return Scale(factor, df if df < NORMAL_FROM else None)


def predict(fitted: model.Model, left: LeftOut | None, arm: Arm, features: np.ndarray) -> model.Estimate:
    """Predict the gain of `arm` from all observations, with the uncertainty that calibration showed.

    What was learnt from other targets is scaled; what this target's own rows add to it is measurement, whose noise is
    known. With P the variance without them, V with them and s the factor: 1 / (1/(s² P) + 1/V − 1/P).
    """
    told = model.predict(fitted, arm, features)
    if left is None:
        return told
    found = scale(left, arm.method)
    variance = told.sd_pp**2
    without = max(model.predict(fitted, replace(arm, target=""), features).sd_pp ** 2, variance)
    scaled = 1 / (1 / (found.factor**2 * without) + 1 / variance - 1 / without)
    # Degrees of freedom by how much of the variance hangs on the scale (Satterthwaite 1946).
    share = scaled / (found.factor**2 * without)
    df = None if found.df is None else int(found.df / share**2)
    return told._replace(sd_pp=float(np.sqrt(scaled)), df=df if df is not None and df < NORMAL_FROM else None)


@cache
def _quantile(p: float, df: int | None) -> float:
    return stats.student_inv_cdf(p, df) if df else stats.NORMAL.inv_cdf(p)


def calibrate(left: LeftOut | None) -> Calibration | None:
    """How often intervals would have held. The scale of each is from the other targets' errors."""
    if left is None:
        return None
    inside = np.zeros((len(left.scores), 2), bool)
    for target, method in sorted(set(zip(left.targets.tolist(), left.methods.tolist(), strict=True))):
        found = scale(left, method, besides=target)
        asked = (left.targets == target) & (left.methods == method)
        for i, p in enumerate((0.9, 0.95)):
            inside[asked, i] = np.abs(left.scores[asked]) <= _quantile(p, found.df) * found.factor
    return Calibration(
        targets=len(set(left.targets.tolist())),
        predictions=len(left.scores),
        inside80=float(inside[:, 0].mean()),
        inside90=float(inside[:, 1].mean()),
        mean_error_pp=float(np.mean(np.abs(left.errors))),
    )
