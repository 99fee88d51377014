"""Ranks, tests and critical values, against scipy, Demšar's tables and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.report import method_ranks

scipy_stats = pytest.importorskip("scipy.stats")

# Demšar 2006, table 5a: critical values q of the two-tailed Nemenyi test at 0.05 for 2 … 10 methods.
DEMSAR = (1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164)


@pytest.mark.parametrize(("k", "q"), list(enumerate(DEMSAR, start=2)))
def test_critical_differences_are_those_of_demsar(k, q):
    targets = 12
    found = method_ranks.rank(
        {f"m{i}": {f"t{j}": (i * 7 + j * 3) % 11 for j in range(targets)} for i in range(k)}
    )
    assert found.critical == pytest.approx(q * np.sqrt(k * (k + 1) / (6 * targets)), rel=6e-4)


@given(st.integers(2, 9), st.integers(3, 6), st.integers(0, 10_000))
def test_friedman_with_ties_is_that_of_scipy(targets, methods, seed):
    values = np.random.default_rng(seed).integers(0, 5, size=(targets, methods)) / 4
    ranks = scipy_stats.rankdata(-values, axis=1)
    expected = scipy_stats.friedmanchisquare(*values.T) if np.ptp(values, axis=1).any() else None
    if expected is not None:
        assert method_ranks.friedman(ranks) == pytest.approx(expected.statistic, abs=1e-9)


@given(st.lists(st.integers(-400, 400).filter(bool), min_size=1, max_size=14, unique_by=abs))
def test_wilcoxon_without_ties_is_that_of_scipy(differences):
    d = np.array(differences) / 100
    expected = scipy_stats.wilcoxon(d, method="exact").pvalue
    assert method_ranks.wilcoxon_p(d) == pytest.approx(expected, abs=1e-12)


def test_wilcoxon_with_ties_counts_every_choice_of_signs():
    d = np.array([0.01, 0.01, -0.01, 0.02, 0.0])
    ranks = np.array([2.0, 2.0, 2.0, 4.0])
    signs = np.array(np.meshgrid(*[[0, 1]] * 4)).reshape(4, -1).T
    sums = signs @ ranks
    assert method_ranks.wilcoxon_p(d) == pytest.approx(min(1.0, 2 * (sums <= 2).mean()))
    assert method_ranks.wilcoxon_p(np.zeros(5)) == 1.0


def test_spearman_is_that_of_scipy_and_its_p_near():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=12), rng.normal(size=12)
    rho, p = method_ranks.spearman(x, y)
    expected = scipy_stats.spearmanr(x, y)
    assert rho == pytest.approx(expected.statistic) and p == pytest.approx(expected.pvalue, abs=0.02)
    assert method_ranks.spearman([1, 1, 1], [1, 2, 3]) == (0.0, 1.0)


TABLE = {
    "a": {"t1": 0.9, "t2": 0.8, "t3": 0.7, "t4": 0.9},
    "b": {"t1": 0.8, "t2": 0.8, "t3": 0.6, "t4": 0.8},
    "c": {"t1": 0.7, "t2": 0.7, "t3": 0.65, "t4": 0.7},
}


def test_mean_ranks_and_the_critical_difference_by_hand():
    found = method_ranks.rank(TABLE)
    # ranks: t1 1 2 3, t2 1.5 1.5 3, t3 1 3 2, t4 1 2 3
    assert found.methods == ("a", "b", "c")
    assert list(found.mean) == pytest.approx([4.5 / 4, 8.5 / 4, 11 / 4])
    assert found.critical == pytest.approx(2.343 * np.sqrt(3 * 4 / (6 * 4)), abs=1e-3)
    # a and c lie 1.625 apart
    assert found.cliques("nemenyi") == [(0, 2)]
    assert replace(found, critical=1.2).cliques("nemenyi") == [(0, 1), (1, 2)]
    # four targets: the smallest p that Wilcoxon's test can give is 2/16
    assert found.cliques("wilcoxon") == [(0, 2)]


def test_the_order_of_the_table_does_not_matter():
    other = {name: dict(reversed(TABLE[name].items())) for name in reversed(TABLE)}
    a, b = method_ranks.rank(TABLE), method_ranks.rank(other)
    assert a.methods == b.methods and np.array_equal(a.values, b.values) and a.pairs == b.pairs


def test_too_little_to_rank_is_no_ranking():
    assert method_ranks.rank({}) is None and method_ranks.rank({"a": {"t": 1.0}}) is None
    assert method_ranks.rank({"a": {"t": 1.0}, "b": {"t": 0.5}}) is None


def test_methods_that_tie_everywhere_do_not_rank_apart():
    found = method_ranks.rank({"a": {"t": 0.5, "u": 0.6}, "b": {"t": 0.5, "u": 0.6}})
    assert found.p == 1.0 and found.pairs[0].p_holm == 1.0 and found.cliques("nemenyi") == [(0, 1)]


def test_the_complete_part_of_a_table_with_holes_is_the_largest():
    table = {**TABLE, "d": {"t1": 0.5}}
    assert set(method_ranks.complete(table)) == {"a", "b", "c"}
    assert method_ranks.complete({"a": {"t1": 1.0}, "b": {"t2": 1.0}}) == {}
