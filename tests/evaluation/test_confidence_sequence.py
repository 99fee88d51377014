"""Is a pilot's interval right whenever it is looked at, and does it narrow?"""

from __future__ import annotations

import numpy as np
import pytest

from merginguriel.evaluation.confidence_sequence import Bounds, bounds, by_group


@pytest.mark.parametrize("mean", [0.0, 0.1])
@pytest.mark.slow
def test_looking_after_every_block_errs_no_more_often_than_alpha(mean):
    draw = np.random.default_rng(3)
    wrong = 0
    for _ in range(200):
        d = draw.choice([-1, 0, 1], size=120, p=[0.1 - mean / 2, 0.8, 0.1 + mean / 2])
        found = [bounds(d[:n], 0.1) for n in range(10, 121, 10)]
        wrong += any(not one.low_pp <= 100 * mean <= one.high_pp for one in found)
    assert wrong <= 0.1 * 200 + 3 * np.sqrt(200 * 0.09)


def test_a_fixed_sample_interval_looked_at_as_often_errs_more():
    draw = np.random.default_rng(4)
    wrong = 0
    for _ in range(300):
        d = draw.choice([-1, 0, 1], size=120, p=[0.1, 0.8, 0.1])
        wrong += any(abs(d[:n].mean()) > 1.645 * d[:n].std() / np.sqrt(n) for n in range(10, 121, 10))
    assert wrong > 0.2 * 300


def test_bounds_narrow_and_contain_the_mean():
    d = np.tile([0, 0, 1, 0, 0, 0, -1, 0, 1, 0], 100)
    few, many = bounds(d[:50]), bounds(d)
    assert few.low_pp <= 10 <= few.high_pp and many.low_pp <= 10 <= many.high_pp
    assert many.high_pp - many.low_pp < 0.4 * (few.high_pp - few.low_pp)
    assert many.outcome(1.0) == "better"


def test_every_outcome_is_said_by_its_bounds():
    said = [Bounds(*pair, 0, 9).outcome(1.0) for pair in ((0.1, 3), (-0.9, 0.9), (-4, -0.1), (-3, 2))]
    assert said == ["better", "equivalent", "worse", "undecided"]


def test_variants_of_a_template_are_one_unit():
    assert by_group(np.array([1, 0, -1, 1]), ["a", "a", "b", ""]).tolist() == [0.5, -1.0, 1.0]


def test_without_units_nothing_is_known():
    assert bounds(np.array([])).outcome(1.0) == "undecided"
