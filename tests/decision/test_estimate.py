"""Is the estimate the best linear unbiased prediction that it says it is?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from merginguriel.decision import estimate
from merginguriel.decision.covariance import SLOPES
from merginguriel.decision.evidence import Arm, Observation, noise
from merginguriel.decision.pilot import expected_improvement, value_of_trial
from merginguriel.knowledge.parse.rows import ResultRow

from .dense import KEYS, dense_covariance, dense_noise, some_features

TARGETS, METHODS = ("sw-KE", "cy-GB", "vi-VN"), ("similarity", "ties", "average")


def observation(
    target: str, method: str, gain: float, sd: float, *, k: int = 5, baseline: float = 0.5
) -> Observation:
    row = ResultRow(
        "a/b", target, "ExcTar", method, "accuracy", baseline + gain / 100, n=1000, k=k,
        baseline_kind="best_single_source", baseline=baseline,
    )  # fmt: skip
    return Observation(row, Arm("a/b", target, "ExcTar", method, "REAL", k, ()), gain, sd**2, "gain")


OBSERVATIONS = st.lists(
    st.builds(
        observation,
        st.sampled_from(TARGETS),
        st.sampled_from(METHODS),
        st.floats(-30, 30),
        st.floats(0.3, 5),
        k=st.sampled_from([3, 5]),
    ),
    min_size=1,
    max_size=12,
)


def fitted(found: list[Observation]) -> estimate.Model:
    return estimate.fit(found, noise(found), some_features([o.arm for o in found]))


def predict(model: estimate.Model, asked: Arm) -> estimate.Estimate:
    return estimate.predict(model, asked, some_features([asked])[0])


@settings(max_examples=40, deadline=None)
@given(OBSERVATIONS, st.sampled_from(TARGETS), st.sampled_from(METHODS))
def test_a_prediction_solves_the_mixed_model_equations(found, target, method):
    """Henderson's equations over the effects themselves give the same mean and variance."""
    model = fitted(found)
    asked = Arm("a/b", target, "ExcTar", method, "REAL", 5, ())
    # One column per level of every effect, the overall level first; the last row is what is asked.
    columns, variances = [np.ones(len(found) + 1)], [estimate.LEVEL_SD**2]
    every = [*model.arms, asked]
    for name, key in KEYS.items():
        for level in dict.fromkeys(key(r) for r in every):
            columns.append(np.array([float(key(r) == level) for r in every]))
            variances.append(model.variances[name])
    for feature in some_features(every).T:
        columns.append(feature)
        variances.append(model.variances[SLOPES])
    design = np.array(columns).T
    precision = np.linalg.inv(dense_noise(noise(found)))
    known, wanted = design[:-1], design[-1]
    posterior = np.linalg.inv(known.T @ precision @ known + np.diag(1 / np.array(variances)))
    mean = wanted @ posterior @ known.T @ precision @ model.gains
    told = predict(model, asked)
    assert told.mean_pp == pytest.approx(mean, abs=1e-6)
    assert told.sd_pp**2 == pytest.approx(wanted @ posterior @ wanted, rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(OBSERVATIONS)
def test_the_parts_add_up_to_the_mean(found):
    told = predict(fitted(found), found[0].arm)
    assert sum(told.parts_pp) == pytest.approx(told.mean_pp, abs=1e-9)
    assert len(told.parts_pp) == len(found)


@settings(max_examples=30, deadline=None)
@given(OBSERVATIONS, st.randoms())
def test_the_order_of_observations_does_not_matter(found, random):
    other = found[:]
    random.shuffle(other)
    a, b = (predict(fitted(o), found[0].arm) for o in (found, other))
    assert (a.mean_pp, a.sd_pp) == pytest.approx((b.mean_pp, b.sd_pp), abs=2e-3)


@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(OBSERVATIONS)
def test_the_variances_have_settled_when_the_fit_ends(found):
    """The penalised likelihood is no lower than at the start, and no single variance could raise it much."""
    matrix = dense_noise(noise(found))
    gains, asked = np.array([o.gain_pp for o in found]), [o.arm for o in found]

    def loss(variances: dict[str, float]) -> float:
        covariance = dense_covariance(asked, variances, some_features(asked)) + matrix
        prior = sum(
            2 * (estimate.PRIOR_SHAPE + 1) * np.log(v) + 2 * estimate.PRIOR_SCALE / v
            for v in variances.values()
        )
        return float(np.linalg.slogdet(covariance)[1] + gains @ np.linalg.solve(covariance, gains) + prior)

    start = dict.fromkeys(estimate.EFFECTS, estimate.PRIOR_SCALE / (estimate.PRIOR_SHAPE + 1))
    end = fitted(found).variances
    assert loss(end) <= loss(start) + 1e-9
    for name in end:
        for factor in (0.8, 1.25):
            assert loss(end) <= loss({**end, name: end[name] * factor}) + 0.05


def test_less_noise_makes_the_interval_narrower():
    sds = [
        predict(fitted([observation("sw-KE", "ties", 1.0, sd)]), observation("sw-KE", "ties", 0, 1).arm).sd_pp
        for sd in (4.0, 2.0, 1.0, 0.5)
    ]
    assert sds == sorted(sds, reverse=True)


def test_what_was_measured_on_the_target_weighs_most():
    found = [observation("sw-KE", "ties", 4.0, 1.0), observation("cy-GB", "ties", -4.0, 1.0)]
    told = predict(fitted(found), found[0].arm)
    assert told.parts_pp[0] > 0 > told.parts_pp[1] and told.parts_pp[0] > -told.parts_pp[1]


def test_with_no_evidence_the_prior_answers():
    told = predict(fitted([]), observation("sw-KE", "ties", 0, 1).arm)
    assert told.mean_pp == 0 and told.sd_pp > estimate.LEVEL_SD and told.p_above(0) == 0.5


def test_identical_recipes_without_noise_of_their_own_are_no_singular_matrix():
    perfect = ResultRow(
        "a/b",
        "sw-KE",
        "ExcTar",
        "ties",
        "accuracy",
        1.0,
        n=50,
        baseline_kind="best_single_source",
        baseline=1.0,
    )
    one = observation("sw-KE", "ties", 0.0, perfect.variance_pp**0.5)
    told = predict(fitted([one, replace(one), replace(one)]), one.arm)
    assert np.isfinite([told.mean_pp, told.sd_pp]).all()


@settings(max_examples=40, deadline=None)
@given(st.floats(-5, 5), st.floats(0.1, 8))
def test_expected_improvement_is_the_integral(mean, sd):
    x = np.linspace(mean - 9 * sd, mean + 9 * sd, 20001)
    density = np.exp(-0.5 * ((x - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
    assert expected_improvement(mean, sd) == pytest.approx(
        np.trapezoid(np.maximum(x, 0) * density, x), abs=1e-4
    )


@settings(max_examples=40, deadline=None)
@given(st.floats(-5, 5), st.floats(0.1, 8), st.floats(0.01, 20), st.floats(0, 3))
def test_a_trial_is_never_worth_less_than_nothing_or_more_than_the_truth(mean, sd, variance, smallest):
    told = estimate.Estimate(mean, sd, ())
    for merging in (False, True):
        value = value_of_trial(told, variance, smallest, merging=merging)
        truth = expected_improvement(mean - smallest, sd) - (mean - smallest if merging else 0)
        assert -1e-9 <= value <= truth + 1e-9
        assert value_of_trial(told, variance / 2, smallest, merging=merging) >= value - 1e-9
