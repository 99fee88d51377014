"""Do intervals hold as often as they say, for methods that are steady and for methods that are not?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from scipy import stats as scipy_stats

from merginguriel.decision import cross_validation, estimate
from merginguriel.decision.evidence import noise

from .dense import dense_covariance, dense_noise, some_features
from .test_estimate import METHODS, OBSERVATIONS, TARGETS, fitted, observation, predict


def simulated(spread: dict[str, float], targets: int = 24, seed: int = 0) -> list:
    """Gains on `targets`, each with a level of its own; a method's gain on a target has this sd beside it, in pp."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(targets):
        level = random.normal(0, 3)
        for method, sd in spread.items():
            gain = level + random.normal(0, sd) + random.normal(0, 1)
            made = observation(TARGETS[0], method, gain, 1.0, baseline=0.5 + i / 100)
            target = f"t{i}"
            found.append(
                replace(made, arm=replace(made.arm, target=target), row=replace(made.row, target=target))
            )
    return found


@settings(max_examples=20, deadline=None)
@given(OBSERVATIONS)
def test_errors_are_what_leaving_each_target_out_gives(found):
    """Solved again from the other targets' rows, with the same variances."""
    model = fitted(found)
    left = cross_validation.leave_targets_out(found, model)
    targets = [o.arm.target for o in found]
    if len(set(targets)) < 3:
        assert left is None and cross_validation.calibrate(left) is None
        return
    everything = dense_covariance(model.arms, model.variances, some_features(model.arms)) + dense_noise(
        noise(found)
    )
    for target in set(targets):
        held = np.array([t == target for t in targets])
        weights = np.linalg.solve(everything[np.ix_(~held, ~held)], everything[np.ix_(~held, held)])
        assert left.errors[held] == pytest.approx(
            model.gains[held] - weights.T @ model.gains[~held], abs=1e-6
        )
        sd = np.sqrt(np.diag(everything[np.ix_(held, held)] - weights.T @ everything[np.ix_(~held, held)]))
        assert left.scores[held] == pytest.approx(left.errors[held] / sd, rel=1e-5, abs=1e-6)
    assert cross_validation.calibrate(left).predictions == len(found)


def test_intervals_of_steady_methods_hold_as_often_as_they_say():
    found = simulated(dict.fromkeys(METHODS, 1.0))
    checked = cross_validation.calibrate(cross_validation.leave_targets_out(found, fitted(found)))
    assert checked.targets == 24 and checked.predictions == 72
    assert 0.7 <= checked.inside80 <= 0.95 and 0.83 <= checked.inside90 <= 0.98


def test_a_method_that_collapses_here_and_there_gets_a_wider_interval_and_the_steady_one_does_not():
    found = simulated({"similarity": 0.5, "average": 0.5, "ties": 15.0})
    model = fitted(found)
    left = cross_validation.leave_targets_out(found, model)
    wild, steady = cross_validation.scale(left, "ties"), cross_validation.scale(left, "similarity")
    assert wild.factor > 1.3 > steady.factor == 1.0
    new = replace(found[0].arm, target="new")
    for method, scale in (("ties", wild), ("similarity", steady)):
        asked = replace(new, method=method)
        assert cross_validation.predict(model, left, asked, some_features([asked])[0]).sd_pp == pytest.approx(
            scale.factor * predict(model, asked).sd_pp
        )
    assert cross_validation.calibrate(left).inside90 >= 0.85


def test_a_method_that_few_targets_tell_of_has_the_scale_of_all():
    found = simulated(dict.fromkeys(METHODS, 1.0), targets=8)
    left = cross_validation.leave_targets_out(found, fitted(found))
    assert cross_validation.scale(left, "never tried").df == cross_validation.PRIOR_DF + 8
    assert cross_validation.scale(left, "ties").df == cross_validation.PRIOR_DF + 8
    assert (
        cross_validation.scale(left, "ties", besides=int(left.targets[0])).df == cross_validation.PRIOR_DF + 7
    )


def test_what_the_target_itself_measured_is_not_made_less_sure():
    found = simulated({"similarity": 0.5, "average": 0.5, "ties": 15.0})
    model = fitted(found)
    left = cross_validation.leave_targets_out(found, model)
    factor = cross_validation.scale(left, "ties").factor
    here, new = found[2].arm, replace(found[2].arm, target="new")
    known = some_features([here])[0]
    raw, told = predict(model, here), cross_validation.predict(model, left, here, known)
    assert raw.sd_pp <= told.sd_pp < 1.1 * raw.sd_pp < factor * raw.sd_pp
    assert told.df is None or told.df > cross_validation.predict(model, left, new, known).df


@pytest.mark.parametrize("gain", [-3.0, 0.0, 1.2, 4.0])
def test_an_estimate_of_few_degrees_of_freedom_is_students_t(gain):
    told = estimate.Estimate(1.2, 2.0, (), df=7)
    t = scipy_stats.t(7, loc=1.2, scale=2.0)
    assert told.interval(0.9) == pytest.approx(t.interval(0.9))
    assert told.p_above(gain) == pytest.approx(t.sf(gain))
