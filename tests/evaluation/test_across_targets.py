"""Do joint intervals, Holm's correction and seeds at random say what the textbooks say, and hold as often as they claim?"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from merginguriel import stats
from merginguriel.errors import IncompatibleError, UsageError
from merginguriel.evaluation.across_targets import joint_draws, over_seeds, over_targets
from merginguriel.evaluation.significance import compare


def pairs_of(seed=0, targets=4, n=300, gain=0.05, shared=1.0):
    """Parallel data: how hard an item is, is the same in every language as far as `shared`."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=n)
    found = {}
    for j in range(targets):
        hard = shared * common + (1 - shared) * rng.normal(size=n)
        a, b = (hard + 0.7 * rng.normal(size=n) < limit for limit in (0.5 + 3 * gain, 0.5))
        found[f"t{j}"] = (a, b)
    return found


def by_definition(p):
    """Holm's adjusted p-values as his paper and R's p.adjust have them: a running maximum of (m − i + 1) p_(i)."""
    order = np.argsort(p, kind="stable")
    scaled = np.minimum(1, np.maximum.accumulate((len(p) - np.arange(len(p))) * np.sort(p)))
    found = np.empty(len(p))
    found[order] = scaled
    return found


def test_holm_on_a_worked_example():
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([]) == [] and stats.holm([0.8, 0.9]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_definition_and_lies_between_nothing_and_bonferroni(p):
    found = stats.holm(p)
    assert found == pytest.approx(by_definition(np.array(p)))
    assert all(one <= two <= min(1, len(p) * one) + 1e-12 for one, two in zip(p, found, strict=True))


def test_holm_keeps_the_share_of_families_with_a_false_alarm():
    rng = np.random.default_rng(0)
    p = rng.random((4000, 10))
    assert np.mean([min(stats.holm(row.tolist())) < 0.05 for row in p]) < 0.06
    assert np.mean(p.min(axis=1) < 0.05) > 0.35  # and without it


def test_each_target_is_compared_as_by_itself():
    pairs = pairs_of()
    groups = {t: [str(i // 2) for i in range(300)] for t in pairs}
    found = over_targets(pairs, groups, draws=500)
    for target, (a, b) in pairs.items():
        assert found.comparisons[target] == compare(a, b, groups=groups[target], draws=500)
    assert list(found.holm.values()) == stats.holm([c.p_groups for c in found.comparisons.values()])
    assert found.mean == pytest.approx(np.mean([c.difference for c in found.comparisons.values()]))
    assert found.standing == [t for t, p in found.holm.items() if p < 0.05]


def test_a_draw_serves_all_languages_of_parallel_data():
    pairs = pairs_of(n=200)
    ids = {t: [f"s{i}" for i in range(200)] for t in pairs}
    parallel = joint_draws(pairs, ids, draws=2000)
    apart = joint_draws(pairs, {}, draws=2000)
    # By hand: one table of counts for every target.
    counts = np.random.default_rng(1).multinomial(200, np.full(200, 1 / 200), size=2000)
    d = np.array([a.astype(int) - b for a, b in pairs.values()])
    assert np.corrcoef(parallel.T) == pytest.approx(np.corrcoef((counts @ d.T).T), abs=0.08)
    assert np.abs(np.corrcoef(apart.T) - np.eye(4)).max() < 0.1


@pytest.mark.slow
def test_sentences_that_all_languages_get_wrong_together_do_not_count_four_times():
    """The same swings in every language: the mean is no surer than one language."""
    one = pairs_of(n=300, targets=1)["t0"]
    pairs = {f"t{j}": one for j in range(4)}
    ids = {t: [f"s{i}" for i in range(300)] for t in pairs}
    together, alone = over_targets(pairs, ids), compare(*one)
    assert together.interval.low == pytest.approx(alone.interval.low, abs=0.6)
    assert together.interval.high == pytest.approx(alone.interval.high, abs=0.6)
    assert together.mde == pytest.approx(alone.mde, rel=0.05)
    naive = over_targets(pairs)
    width = together.interval.high - together.interval.low
    assert (naive.interval.high - naive.interval.low) / width == pytest.approx(0.5, abs=0.05)


def test_partly_parallel_data_are_drawn_by_what_they_share():
    pairs = {t: (a[:100], b[:100]) for t, (a, b) in pairs_of(targets=2, n=100).items()}
    ids = {"t0": [f"s{i}" for i in range(100)], "t1": [f"s{i + 50}" for i in range(100)]}
    draws = joint_draws(pairs, ids, draws=4000)
    for j, (a, b) in enumerate(pairs.values()):
        d = a.astype(float) - b
        assert draws[:, j].mean() == pytest.approx(d.mean(), abs=0.005)
        assert draws[:, j].std() == pytest.approx(d.std() / 10, rel=0.1)


@pytest.mark.slow
def test_the_joint_interval_holds_the_truth_as_often_as_it_says():
    held, truth = 0, None
    wide = [a.mean() - b.mean() for a, b in pairs_of(seed=9, n=400_000, shared=0.7).values()]
    truth = 100 * float(np.mean(wide))
    for seed in range(200):
        pairs = pairs_of(seed=seed, n=150, shared=0.7)
        ids = {t: [f"s{i}" for i in range(150)] for t in pairs}
        draws = 100 * joint_draws(pairs, ids, draws=600).mean(axis=1)
        low, high = np.quantile(draws, [0.025, 0.975])
        held += low <= truth <= high
    assert 0.90 <= held / 200 <= 0.985


# seeds


def study(rng, seeds=5, n=200, sd_seed=0.05, gain=0.0):
    """Every item has its own chance under A and under B; A's chances move with the seed."""
    hard = rng.normal(size=n)
    move = rng.normal(size=(seeds, 1)) * sd_seed * 3
    a = hard + 0.6 * rng.normal(size=n) + 0.8 * rng.normal(size=(seeds, n)) < 0.3 + move + 3 * gain
    b = hard + 0.8 * rng.normal(size=(seeds, n)) < 0.3
    return a, b


def test_the_variance_is_that_of_the_two_way_table():
    """Mean squares written out with loops, as in Searle, Casella & McCulloch."""
    a, b = study(np.random.default_rng(3), seeds=4, n=60, sd_seed=0.15)
    d = a.astype(float) - b
    found = over_seeds(a, b)
    grand = d.mean()
    ms_s = 60 * sum((row.mean() - grand) ** 2 for row in d) / 3
    ms_i = 4 * sum((column.mean() - grand) ** 2 for column in d.T) / 59
    ms_e = sum((d[s, i] - d[s].mean() - d[:, i].mean() + grand) ** 2 for s in range(4) for i in range(60)) / (
        3 * 59
    )
    assert ms_s > ms_e and ms_i > ms_e, "a case in which both components are positive"
    total = ms_s + ms_i - ms_e
    assert found.se == pytest.approx(100 * (total / 240) ** 0.5)
    assert found.df == pytest.approx(total**2 / (ms_s**2 / 3 + ms_i**2 / 59 + ms_e**2 / 177))
    assert found.sd_seed == pytest.approx(100 * ((ms_s - ms_e) / 60) ** 0.5)
    t = found.difference / found.se
    assert found.p == pytest.approx(2 * scipy_stats.t.sf(abs(t), int(found.df)))
    low, high = scipy_stats.t.interval(0.95, int(found.df), found.difference, found.se)
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high))


def test_seeds_alike_on_all_items_are_one_seed():
    """No noise of seeds: only that of items is left, however often the same is trained."""
    a, b = study(np.random.default_rng(0), seeds=1, n=300)
    found = over_seeds(np.repeat(a, 6, axis=0), np.repeat(b, 6, axis=0))
    assert found.se == pytest.approx(compare(a[0], b[0]).se, rel=0.01) and found.sd_seed == 0


def test_false_alarms_stay_at_five_percent_where_one_seed_cries_wolf():
    alarms = {"seeds": 0, "one": 0}
    for seed in range(400):
        a, b = study(np.random.default_rng(seed), seeds=5, n=300, sd_seed=0.08)
        alarms["seeds"] += over_seeds(a, b).significant
        alarms["one"] += compare(a[0], b[0], draws=2).p < 0.05
    assert alarms["one"] / 400 > 0.2  # a single seed's items do not show the noise of training
    assert alarms["seeds"] / 400 <= 0.08


def test_an_interval_over_seeds_holds_the_truth_as_often_as_it_says():
    hard = np.random.default_rng(1).normal(size=400_000)
    noise = np.random.default_rng(2).normal(size=(2, 400_000))
    chance = hard + noise[0] * (0.6**2 + 0.8**2 + (3 * 0.05) ** 2) ** 0.5 < 0.3 + 3 * 0.04
    truth = 100 * (chance.mean() - (hard + 0.8 * noise[1] < 0.3).mean())
    held = 0
    for seed in range(300):
        found = over_seeds(*study(np.random.default_rng(seed), seeds=4, n=250, sd_seed=0.05, gain=0.04))
        held += found.interval.low <= truth <= found.interval.high
    assert 0.92 <= held / 300 <= 1.0


def test_groups_of_single_items_change_nothing_and_variants_count_once():
    a, b = study(np.random.default_rng(5), seeds=3, n=80)
    alone = over_seeds(a, b)
    assert over_seeds(a, b, groups=[str(i) for i in range(80)]).se == pytest.approx(alone.se)
    twice = over_seeds(np.tile(a, 2), np.tile(b, 2), groups=[str(i % 80) for i in range(160)])
    assert twice.se == pytest.approx(alone.se) and twice.difference == pytest.approx(alone.difference)


def test_what_cannot_be_compared_is_refused():
    a = np.ones((1, 4), bool)
    with pytest.raises(UsageError, match="two or more seeds"):
        over_seeds(a, a)
    with pytest.raises(IncompatibleError, match="same seeds and items"):
        over_seeds(np.ones((2, 4), bool), np.ones((3, 4), bool))
    with pytest.raises(UsageError, match="at least one target"):
        over_targets({})
    same = np.ones((3, 5), bool)
    assert over_seeds(same, same).se is None and over_seeds(same, same).p == 1


@pytest.mark.parametrize("df", [1, 2, 5, 30])
@pytest.mark.parametrize("t", [0.0, 0.5, -2.1, 6.0])
def test_p_of_student_is_that_of_scipy(t, df):
    assert stats.student_two_sided_p(t, df) == pytest.approx(2 * scipy_stats.t.sf(abs(t), df), abs=1e-12)
