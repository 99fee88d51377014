"""Does the factored covariance answer what the one written down in full answers?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merginguriel.decision import covariance
from merginguriel.decision.evidence import Arm, Noise

from .dense import dense_covariance, dense_noise, same, some_features

SETTINGS = st.lists(
    st.builds(
        Arm,
        st.sampled_from(["a/b", "c/d"]),
        st.sampled_from(["sw-KE", "cy-GB", "vi-VN"]),
        st.just("ExcTar"),
        st.sampled_from(["ties", "average", "slerp"]),
        st.sampled_from(["REAL", None]),
        st.sampled_from([3, 5]),
        st.just(()),
    ),
    min_size=1,
    max_size=14,
)
VARIANCES = st.lists(
    st.floats(0.05, 40), min_size=len(covariance.EFFECTS), max_size=len(covariance.EFFECTS)
).map(np.array)


def noise_of(rows: list[Arm], seed: int) -> Noise:
    """Some gains measured over baselines of their target, some inferred over one of two gaps."""
    random = np.random.default_rng(seed)
    gap = random.integers(-1, 2, len(rows))
    targets = list(dict.fromkeys((r.context, r.target) for r in rows))
    baseline = np.array([targets.index((r.context, r.target)) for r in rows])
    baseline[gap >= 0] = -1 - np.flatnonzero(gap >= 0)
    return Noise(random.uniform(0.3, 4, len(rows)), baseline, gap, np.array([1.5, 0.2]))


@settings(max_examples=60, deadline=None)
@given(SETTINGS, VARIANCES, st.integers(0, 9))
def test_it_is_the_inverse_and_the_determinant(rows, variances, seed):
    noise = noise_of(rows, seed)
    factor = covariance.factor(covariance.design(rows, noise, some_features(rows)), variances)
    named = dict(zip(covariance.EFFECTS, variances, strict=True))
    full = dense_covariance(rows, named, some_features(rows)) + dense_noise(noise)
    assert factor.solve(full) == pytest.approx(np.eye(len(rows)), abs=1e-6)
    assert factor.logdet == pytest.approx(np.linalg.slogdet(full)[1], abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(SETTINGS, VARIANCES, st.integers(0, 9))
def test_traces_and_products_are_those_of_the_derivatives(rows, variances, seed):
    noise = noise_of(rows, seed)
    factor = covariance.factor(covariance.design(rows, noise, some_features(rows)), variances)
    named = dict(zip(covariance.EFFECTS, variances, strict=True))
    inverse = np.linalg.inv(dense_covariance(rows, named, some_features(rows)) + dense_noise(noise))
    x = np.random.default_rng(seed).standard_normal(len(rows))
    for i, name in enumerate(covariance.EFFECTS):
        derivative = same(rows, name, some_features(rows))
        assert covariance.traces(factor)[i] == pytest.approx(
            np.trace(inverse @ derivative), rel=1e-5, abs=1e-7
        )
        assert covariance.spread_over(factor.design, x)[:, i] == pytest.approx(derivative @ x, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(SETTINGS, SETTINGS, VARIANCES)
def test_what_is_asked_shares_what_its_levels_share(rows, asked, variances):
    factor = covariance.factor(covariance.design(rows, noise_of(rows, 0), some_features(rows)), variances)
    named = dict(zip(covariance.EFFECTS, variances, strict=True))
    for setting in asked:
        full = dense_covariance([*rows, setting], named, some_features([*rows, setting]))[-1, :-1]
        assert covariance.shared_with(factor, setting, some_features([setting])[0]) == pytest.approx(full)
