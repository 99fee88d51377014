"""Do rows of one merge, taken together, say exactly what they say one by one?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from merginguriel.decision import covariance
from merginguriel.decision.evidence import Arm
from merginguriel.decision.replicates import repeats

from .dense import dense_covariance, dense_noise, some_features
from .test_covariance import VARIANCES, noise_of
from .test_estimate import fitted, observation

FEW = st.builds(
    Arm,
    st.sampled_from(["a/b", "c/d"]),
    st.sampled_from(["sw-KE", "cy-GB"]),
    st.just("ExcTar"),
    st.sampled_from(["ties", "average"]),
    st.just("REAL"),
    st.sampled_from([3, 5]),
    st.just(()),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(FEW, min_size=2, max_size=16), VARIANCES, st.integers(0, 9))
def test_likelihood_and_weights_are_those_of_all_rows_in_full(rows, variances, seed):
    noise, features = noise_of(rows, seed), some_features(rows)
    repeated = repeats(rows, noise, features)
    assume(repeated is not None)
    layout = covariance.design(rows, noise, features, repeated)
    factor = covariance.factor(layout, variances)
    full = dense_noise(noise) + dense_covariance(
        rows, dict(zip(covariance.EFFECTS, variances, strict=True)), features
    )
    gains = np.random.default_rng(seed).standard_normal(len(rows))
    P = layout.noise[
        layout.place[0], layout.place[1]
    ]  # the pooled noise, a merge a row, in the places of its block
    told = repeated.total(repeated.weighed(gains))
    pooled = (P[:, None, :] @ layout.blocks(told[:, None])[layout.place[0]])[:, 0, 0]
    # What does not depend on the variances is the difference between the two at any other variances, too.
    other = covariance.factor(layout, 2 * variances)
    apart = (
        full
        + dense_covariance(rows, dict(zip(covariance.EFFECTS, variances, strict=True)), features)
        - covariance.LEVEL_SD**2
    )
    said = [f.logdet + pooled @ f.solve(pooled[:, None])[:, 0] for f in (factor, other)]
    meant = [np.linalg.slogdet(m)[1] + gains @ np.linalg.solve(m, gains) for m in (full, apart)]
    assert said[1] - said[0] == pytest.approx(meant[1] - meant[0], abs=1e-6)
    member = np.eye(len(repeated.first))[repeated.merge]
    shared = np.random.default_rng(seed + 1).standard_normal(len(repeated.first))
    weights = np.linalg.solve(full, member @ shared)
    known = factor.solve(shared[:, None])
    shares = (layout.noise @ layout.blocks(known))[layout.place][:, 0]
    assert repeated.weighed(shares[repeated.merge]) == pytest.approx(weights, abs=1e-6)


def test_every_row_of_a_repeated_merge_has_its_part():
    found = [observation("sw-KE", "ties", gain, sd) for gain, sd in ((2.0, 1.0), (1.0, 1.0), (3.0, 2.0))]
    model = fitted([*found, observation("cy-GB", "ties", 1.0, 1.0)])
    assert len(model.factor.design.place[0]) == 2 and len(model.gains) == 4


def test_where_nothing_was_measured_twice_or_without_noise_rows_stay_rows():
    one = observation("sw-KE", "ties", 2.0, 1.0)
    other = observation("sw-KE", "average", 2.0, 1.0)
    assert fitted([one, other]).repeated is None
    assert fitted([one, observation("sw-KE", "ties", 1.0, 0.0)]).repeated is None


def test_a_merge_with_other_features_is_another_merge():
    rows = [observation("sw-KE", "ties", 2.0, 1.0).arm] * 2
    noise = noise_of(rows, 3)
    alike = noise._replace(gap=np.array([-1, -1]), baseline=np.array([0, 0]))
    assert repeats(rows, alike, np.array([[1.0], [1.0]])) is not None
    assert repeats(rows, alike, np.array([[1.0], [0.5]])) is None
    assert repeats(rows, alike._replace(gap=np.array([0, -1])), np.array([[1.0], [1.0]])) is None
