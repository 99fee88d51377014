"""Are the tests and intervals those of the textbooks? scipy and brute force are the judges."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from merginguriel.errors import IncompatibleError
from merginguriel.evaluation.significance import compare, paired_bootstrap, sign_flip_p

answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200)


def simulated(n=500, seed=0, gain=0.04):
    rng = np.random.default_rng(seed)
    hard = rng.random(n)
    return hard + 0.1 * rng.normal(size=n) < 0.7 + gain, hard + 0.1 * rng.normal(size=n) < 0.7


def clustered(seed, groups=60, size=8):
    """No true difference, but all items of a group swing together."""
    rng = np.random.default_rng(seed)
    names = np.repeat(np.arange(groups), size)
    a, b = (np.repeat(rng.random(groups) < 0.7, size) for _ in range(2))
    return a, b, [str(name) for name in names]


def test_interval_agrees_with_the_bootstrap_of_scipy():
    a, b = simulated()
    ours = paired_bootstrap(a, b, draws=20_000)
    d = a.astype(float) - b.astype(float)
    theirs = scipy_stats.bootstrap(
        (d,), np.mean, n_resamples=10_000, method="percentile", rng=1
    ).confidence_interval
    assert ours.low == pytest.approx(100 * theirs.low, abs=0.25)
    assert ours.high == pytest.approx(100 * theirs.high, abs=0.25)


@given(answers)
def test_p_agrees_with_the_binomial_test_of_scipy(pairs):
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    result = compare(a, b, draws=10)
    moved = result.wins + result.losses
    expected = scipy_stats.binomtest(result.wins, moved, 0.5).pvalue if moved else 1.0
    assert result.p == pytest.approx(expected, rel=1e-9)


@given(answers)
def test_swapping_the_sides_mirrors_the_result(pairs):
    a, b = (np.array(side) for side in zip(*pairs, strict=True))
    one, two = compare(a, b, draws=200), compare(b, a, draws=200)
    assert one.difference == -two.difference and one.p == two.p and one.mde == two.mde
    assert (one.wins, one.losses) == (two.losses, two.wins)
    assert one.difference == pytest.approx(100 * (one.value_a - one.value_b))


@given(answers)
def test_items_that_do_not_tell_the_two_apart_are_not_certainty(pairs):
    a = np.array([left for left, _ in pairs])
    for groups in (None, ["one"] * len(a)):
        result = compare(a, a, groups=groups, draws=50)
        assert (result.difference, result.p, result.se, result.mde) == (0, 1, None, None)
        assert result.interval.low <= 0 <= result.interval.high and not result.significant
        assert (groups is None and len(a) > 1) == (result.interval.high < 100)


@given(st.integers(2, 3000), st.sampled_from([0.8, 0.95, 0.99]))
def test_equal_answers_exclude_what_would_have_shown_among_so_many(n, level):
    same = np.arange(n) % 3 == 0
    found = compare(same, same, level=level).interval
    share = scipy_stats.binomtest(0, n).proportion_ci(level, "exact").high
    assert (found.low, found.high) == pytest.approx((-100 * share, 100 * share))


@given(st.lists(st.integers(1, 40), min_size=2, max_size=60))
def test_equal_answers_to_variants_say_no_more_than_their_templates(sizes):
    groups = np.repeat(np.arange(len(sizes)), sizes).astype(str).tolist()
    same = np.zeros(len(groups), dtype=bool)
    by_template, by_item = compare(same, same, groups=groups).interval, compare(same, same).interval
    even = compare(same[: len(sizes)], same[: len(sizes)]).interval
    assert by_item.high <= by_template.high + 1e-9 and even.high <= by_template.high + 1e-9
    assert by_template.low == -by_template.high


@pytest.mark.parametrize(
    ("a", "b", "groups"),
    [
        ([True], [False], None),
        ([True] * 8, [False] * 8, ["one template"] * 8),
        ([True, False] * 4, [False, False] * 4, list("aabbccdd")),  # every group won alike
    ],
)
def test_fewer_than_two_groups_or_groups_all_alike_give_no_standard_error(a, b, groups):
    result = compare(np.array(a), np.array(b), groups=groups)
    assert (result.se, result.mde) == (None, None) and result.wins > 0
    assert result.interval.low <= -40 and result.interval.high >= 80
    one = groups is None or len(set(groups)) == 1
    assert one == ((result.interval.low, result.interval.high) == (-100, 100))


@pytest.mark.parametrize("groups", [5, 10])
def test_an_interval_from_few_groups_holds_the_truth_as_often_as_it_says(groups):
    held = resampled = 0
    names = np.repeat(np.arange(groups), 8).astype(str).tolist()
    for seed in range(300):
        rng = np.random.default_rng(seed)
        a, b = (rng.random((groups, 8)) < rng.beta(3, 2, (groups, 1)) for _ in range(2))
        low_high = compare(a.ravel(), b.ravel(), groups=names, draws=300).interval
        percentiles = paired_bootstrap(a.ravel(), b.ravel(), groups=names, draws=300)
        held += low_high.low <= 0 <= low_high.high
        resampled += percentiles.low <= 0 <= percentiles.high
    assert 0.92 <= held / 300 <= 0.98
    assert resampled < held


def test_an_interval_from_few_groups_is_that_of_student():
    a, b, groups = clustered(1, groups=12)
    means = (a.astype(float) - b.astype(float)).reshape(12, 8).mean(axis=1)
    low, high = scipy_stats.ttest_1samp(means, 0).confidence_interval()
    result = compare(a, b, groups=groups)
    assert (result.interval.low, result.interval.high) == pytest.approx((100 * low, 100 * high))


def test_draws_in_parts_are_all_the_draws(monkeypatch):
    a, b, groups = clustered(2)
    whole = compare(a, b, groups=groups, draws=2000)
    monkeypatch.setattr("merginguriel.evaluation.significance.CHUNK", 7)
    parts = compare(a, b, groups=groups, draws=2000)
    assert parts.p_groups == pytest.approx(whole.p_groups, abs=0.04)
    assert parts.interval.low == pytest.approx(whole.interval.low, abs=1.5)


@settings(max_examples=25)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_sign_flips_agree_with_going_through_all_of_them(sums):
    array = np.array(sums)
    flips = list(itertools.product((-1, 1), repeat=len(sums)))
    exact = np.mean([abs(np.dot(flip, array)) >= abs(array.sum()) for flip in flips])
    assert sign_flip_p(array) == pytest.approx(exact, rel=1e-12)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        cells = rng.choice(4, p=[0.5, 0.12, 0.08, 0.3], size=300)  # both, only A, only B, none: +4 pp
        interval = paired_bootstrap((cells == 0) | (cells == 1), (cells == 0) | (cells == 2), draws=2000)
        held += interval.low <= 4 <= interval.high
    assert 0.91 <= held / 300 <= 0.98


def test_variants_of_one_template_do_not_pass_for_independent_evidence():
    alarms = {"items": 0, "groups": 0, "interval": 0}
    for seed in range(100):
        a, b, groups = clustered(seed)
        result = compare(a, b, groups=groups, draws=1000)
        alarms["items"] += result.p < 0.05
        alarms["groups"] += result.significant
        alarms["interval"] += not result.interval.low <= 0 <= result.interval.high
    assert alarms["items"] > 30  # taking the items as independent cries wolf
    assert alarms["groups"] <= 11 and alarms["interval"] <= 13


def test_groups_of_one_item_change_nothing():
    a, b = simulated(n=200)
    names = [str(i) for i in range(200)]
    assert compare(a, b, groups=names) == compare(a, b)


def test_groups_of_equal_size_give_the_error_of_the_group_means():
    a, b, groups = clustered(3)
    means = (a.astype(float) - b.astype(float)).reshape(60, 8).mean(axis=1)
    assert compare(a, b, groups=groups).se == pytest.approx(100 * scipy_stats.sem(means))


def test_the_detectable_effect_is_found_four_times_of_five():
    """Simulated at exactly the effect that it names."""
    found, mde = 0, None
    for seed in range(300):
        rng = np.random.default_rng(seed)
        cells = rng.choice(4, p=[0.6, 0.1282, 0.0718, 0.2], size=500)
        result = compare((cells == 0) | (cells == 1), (cells == 0) | (cells == 2), draws=10)
        found += abs(result.difference) / result.se > 1.96
        mde = mde or result.mde
    assert 0.72 <= found / 300 <= 0.88 and mde == pytest.approx(5.6, abs=0.8)


def test_the_same_seed_gives_the_same_interval():
    a, b = simulated()
    assert paired_bootstrap(a, b, seed=3) == paired_bootstrap(a, b, seed=3)


def test_different_items_are_refused():
    with pytest.raises(IncompatibleError, match="3 and 2"):
        compare(np.ones(3, bool), np.ones(2, bool))
    with pytest.raises(IncompatibleError):
        compare(np.ones(0, bool), np.ones(0, bool))
    with pytest.raises(IncompatibleError, match="1 groups for 2 items"):
        compare(np.ones(2, bool), np.ones(2, bool), groups=["a"])
