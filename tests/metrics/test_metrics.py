"""Metrics agree with the packages that define them, and a new one is a single registration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from merginguriel.errors import UsageError
from merginguriel.evaluation.across_targets import over_seeds, over_targets
from merginguriel.evaluation.significance import compare, value_interval
from merginguriel.metrics import registry

TAGS = st.lists(
    st.sampled_from(["O", "B-A", "I-A", "E-A", "S-A", "B-B", "I-B", "E-B"]), min_size=1, max_size=9
)


def value(name: str, gold: list[str], predicted: list[str]) -> float:
    found = registry.find(name)
    return found.value(found.statistics(gold, predicted))


@pytest.mark.slow
@given(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=6))
def test_span_f1_is_that_of_seqeval(pairs):
    seqeval = pytest.importorskip("seqeval.metrics")
    gold = [a[: len(b)] for a, b in pairs]
    predicted = [b[: len(a)] for a, b in pairs]
    expected = seqeval.f1_score(gold, predicted, zero_division=0)
    assert value("span_f1", [*map(" ".join, gold)], [*map(" ".join, predicted)]) == pytest.approx(expected)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcde")), min_size=1, max_size=30))
def test_macro_f1_is_that_of_scikit_learn(pairs):
    sklearn = pytest.importorskip("sklearn.metrics")
    gold, predicted = map(list, zip(*pairs, strict=True))
    expected = sklearn.f1_score(gold, predicted, average="macro", zero_division=0)
    assert value("macro_f1", gold, predicted) == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=20))
def test_spearman_is_that_of_scipy_also_for_items_drawn_twice(pairs):
    scipy_stats = pytest.importorskip("scipy.stats")
    gold, predicted = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    found = registry.find("spearman")
    statistics = found.statistics([*map(str, gold)], [*map(str, predicted)])
    counts = np.random.default_rng(0).integers(0, 3, size=(1, len(gold)))
    repeated = [np.repeat(side, counts[0]) for side in (gold, predicted)]
    for (a, b), got in ((repeated, found.values(statistics, counts.astype(float))[0]),
                        ((gold, predicted), found.value(statistics))):  # fmt: skip
        if len(set(a)) > 1 and len(set(b)) > 1:
            assert got == pytest.approx(scipy_stats.spearmanr(a, b).statistic, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=2, max_size=25))
def test_ndcg_is_that_of_scikit_learn_also_with_equal_scores(documents):
    sklearn = pytest.importorskip("sklearn.metrics")
    relevance, scores = map(list, zip(*documents, strict=True))
    expected = sklearn.ndcg_score([relevance], [scores], k=10)
    texts = [" ".join(map(str, side)) for side in (relevance, scores)]
    assert value("ndcg_at_10", texts[:1], texts[1:]) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["macro_f1", "spearman"])
def test_the_standard_error_without_draws_is_that_of_the_bootstrap(name):
    """Of scipy, which draws items and knows nothing of the linear statistics."""
    scipy_stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 4, size=250)
    sides = [np.where(rng.random(250) < share, gold, rng.integers(0, 4, size=250)) for share in (0.7, 0.6)]
    metric = registry.find(name)
    a, b = (metric.statistics([*map(str, gold)], [*map(str, side)]) for side in sides)
    found = compare(a, b, metric=name, draws=0)

    def difference(index):
        return metric.value(a[index]) - metric.value(b[index])

    drawn = scipy_stats.bootstrap((np.arange(250),), difference, n_resamples=600, vectorized=False,
                                  method="percentile", rng=np.random.default_rng(1))  # fmt: skip
    assert found.difference == pytest.approx(100 * difference(np.arange(250)))
    assert found.se == pytest.approx(100 * drawn.standard_error, rel=0.12)
    low, high = drawn.confidence_interval
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (100 * low, 100 * high), abs=0.25 * found.se
    )


def test_seeds_and_targets_are_compared_under_any_metric():
    rng = np.random.default_rng(3)
    gold = rng.random(90)
    spearman = registry.find("spearman")

    def answers(noise):
        return spearman.statistics([*map(str, gold)], [*map(str, gold + noise * rng.normal(size=90))])

    a, b = ([answers(noise) for _ in range(5)] for noise in (0.2, 0.6))
    mean = np.mean([spearman.value(x) - spearman.value(y) for x, y in zip(a, b, strict=True)])
    seeds = over_seeds(a, b, metric="spearman")
    targets = over_targets(
        {str(i): pair for i, pair in enumerate(zip(a, b, strict=True))}, metric="spearman", draws=500
    )
    assert seeds.difference == pytest.approx(100 * mean) and targets.mean == pytest.approx(100 * mean)
    assert seeds.significant and targets.interval.low > 0


def test_the_paired_bootstrap_of_a_mean_agrees_with_the_closed_form_of_accuracy():
    rng = np.random.default_rng(1)
    a, b = rng.random(800) < 0.6, rng.random(800) < 0.5
    exact = compare(a, b)
    drawn = compare(a.astype(float), b.astype(float), draws=4000)
    assert drawn.difference == pytest.approx(exact.difference)
    assert drawn.se == pytest.approx(exact.se, rel=0.05)
    assert drawn.significant == exact.significant
    assert drawn.interval.low == pytest.approx(exact.interval.low, abs=0.5)


def test_variants_of_one_template_do_not_make_a_macro_f1_more_certain():
    rng = np.random.default_rng(2)
    gold = [str(label) for label in rng.integers(0, 4, size=60)] * 5
    right = np.tile(rng.random(60) < 0.6, 5)
    predicted = [label if ok else "0" for label, ok in zip(gold, right, strict=True)]
    statistics = registry.find("macro_f1").statistics(gold, predicted)
    groups = [str(i % 60) for i in range(300)]
    low, high = value_interval(statistics, metric="macro_f1")
    wide = value_interval(statistics, groups, metric="macro_f1")
    assert wide[1] - wide[0] > 1.5 * (high - low)


def test_two_arms_that_answer_alike_are_not_told_apart():
    gold = ["B-A I-A O", "O O", "S-B"] * 20
    statistics = registry.find("span_f1").statistics(gold, gold)
    found = compare(statistics, statistics, metric="span_f1")
    assert (found.difference, found.se, found.p, found.wins) == (0, None, 1, None)


def test_an_unknown_metric_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="unknown metric 'span_f2'") as caught:
        registry.find("span_f2")
    assert "span_f1" in str(caught.value.hint)
