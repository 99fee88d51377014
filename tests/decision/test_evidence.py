"""Which rows become gains, and what do they share?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merginguriel.decision.evidence import noise, observations
from merginguriel.knowledge.rows import ResultRow


def nothing(_: object) -> bool:
    return False


def measured(target: str, value: float, **more) -> ResultRow:
    given = {
        "n": 2974,
        "baseline_kind": "best_single_source",
        "baseline": 0.5,
        "similarity": "REAL",
        "k": 5,
        **more,
    }
    return ResultRow("a/b", target, "ExcTar", "similarity", "accuracy", value, **given)


def effect(target: str, pp: float) -> ResultRow:
    return ResultRow(
        "a/b", target, "ExcTar", "similarity", "merging_effect", pp, n=2974, similarity="REAL", k=5
    )


@pytest.mark.parametrize("status", ["contested", "invalidated"])
def test_doubtful_rows_are_not_counted(status):
    assert observations([measured("sw-KE", 0.6, status=status)], "ExcTar", nothing) == ([], None)


@pytest.mark.parametrize(
    "row",
    [
        measured("sw-KE", 0.6, n=None),
        measured("sw-KE", 0.6, baseline_kind="target_alone"),
        measured("sw-KE", 0.6, baseline_kind=None, baseline=None),
    ],
)
def test_a_row_that_does_not_say_the_gain_is_not_counted(row):
    assert observations([row], "ExcTar", nothing)[0] == []


def test_a_duplicate_counts_once():
    found, _ = observations([measured("sw-KE", 0.6)] * 3, "ExcTar", nothing)
    assert len(found) == 1


def test_one_measurement_against_two_baselines_counts_once_with_the_later_one():
    rows = [
        measured("sw-KE", 0.6, baseline=0.50, date="2026-01-20"),
        measured("sw-KE", 0.6, baseline=0.52, date="2026-01-21"),
    ]
    (one,), _ = observations(rows, "ExcTar", nothing)
    assert one.gain_pp == pytest.approx(8.0)


def test_an_effect_above_zero_is_not_a_gain():
    # Defect 5: tr-TR has an effect of +4.07 pp, and 72.90 is below its best source, 73.10.
    targets = [
        ("tr-TR", 4.07, 0.7290, 0.7310),
        ("sw-KE", 2.30, 0.4832, 0.4670),
        ("cy-GB", -1.58, 0.4166, 0.4445),
    ]
    rows = [effect(t, pp) for t, pp, _, _ in targets]
    rows += [measured(t, value, baseline=best) for t, _, value, best in targets]
    found, gap = observations([*rows, effect("th-TH", 2.72)], "ExcTar", nothing)
    by_target = {o.recipe.target: o for o in found}
    assert by_target["tr-TR"].gain_pp == pytest.approx(-0.20)
    assert gap is not None and gap.targets == 3 and gap.mean_pp > 0
    assert by_target["th-TH"].gain_pp == pytest.approx(2.72 - gap.mean_pp)
    assert by_target["th-TH"].variance > gap.variance


def test_effects_say_nothing_where_the_gap_is_unknown():
    assert observations([effect("th-TH", 2.72)], "ExcTar", nothing) == ([], None)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["sw-KE", "cy-GB"]), st.floats(0, 1), st.floats(0, 1)),
        min_size=1,
        max_size=8,
    )
)
def test_the_noise_is_a_covariance(rows):
    found, gap = observations(
        [measured(t, v, baseline=b, seed=i) for i, (t, v, b) in enumerate(rows)], "ExcTar", nothing
    )
    matrix = noise(found, gap)
    assert np.allclose(matrix, matrix.T) and np.linalg.eigvalsh(matrix).min() > 0
    assert np.allclose(matrix.diagonal(), [o.variance for o in found])


def test_rows_with_the_same_baseline_share_its_noise():
    found, gap = observations(
        [measured("sw-KE", 0.6), measured("sw-KE", 0.55, k=3), measured("cy-GB", 0.6)], "ExcTar", nothing
    )
    correlation = noise(found, gap)
    at = {(o.recipe.target, o.recipe.k): i for i, o in enumerate(found)}
    assert correlation[at["sw-KE", 5], at["sw-KE", 3]] > 0
    assert correlation[at["sw-KE", 5], at["cy-GB", 5]] == 0
