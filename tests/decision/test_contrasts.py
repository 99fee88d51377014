"""Order of arms: what a recipe gains more than others on the same items, whatever the targets on which it was measured."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from merginguriel.decision.backtest_policies import Prediction, first
from merginguriel.decision.estimate import SLOPE, predict
from merginguriel.decision.evidence import Arm, Observation
from merginguriel.decision.gains import learn
from merginguriel.decision.pilot import halved, sizes_of
from merginguriel.decision.recipe_contrasts import contrasts, rivals, worths
from merginguriel.knowledge.parse.rows import ResultRow

HERE = "home/e5-small"


def measured(target: str, method: str, gain: float, *, lead: float | None = 2.0, n: int = 500) -> Observation:
    row = ResultRow(
        HERE, target, "ExcTar", method, "accuracy", 0.6, n=n, similarity="REAL", k=3, ref=f"{target}-{method}"
    )
    arm = Arm(HERE, target, "ExcTar", method, "REAL", 3, ())
    return Observation(row, arm, gain, 4.0, "gain", lead_pp=lead)


def test_contrasts_of_methods_with_one_recipe_are_those_of_least_squares():
    draw = random.Random(3)
    found = [
        measured(f"t{t}", f"m{m}", 3 * t + m + draw.gauss(0, 1), lead=draw.uniform(0, 6))
        for t in range(9)
        for m in range(6)
        if draw.random() < 0.7
    ]
    told = contrasts(learn(found), HERE, "t0")
    found = [o for o in found if o.arm.target != "t0"]
    design = np.zeros((len(found), 15))
    for i, o in enumerate(found):
        design[i, int(o.arm.target[1:])] = design[i, 9 + int(o.arm.method[1:])] = 1
    solved = np.linalg.lstsq(
        design, np.array([o.gain_pp - SLOPE * (o.lead_pp or 0) for o in found]), rcond=None
    )[0][9:]
    effects = np.array([told[recipe].effect_pp for recipe in sorted(told, key=lambda r: r.method)])
    assert effects - effects.mean() == pytest.approx(solved - solved.mean(), abs=0.1)


def test_the_first_choice_is_the_arm_that_gains_more_on_the_same_items():
    # `ties` gains 2 pp more than `average` wherever both were measured, and was measured on the hard targets only.
    easy = [measured(f"t{t}", "average", 10.0) for t in range(4)]
    hard = [measured(f"t{t}", "average", 2.0) for t in range(4, 10)]
    hard += [measured(f"t{t}", "ties", 4.0) for t in range(4, 10)]
    learned = learn([*easy, *hard])
    against = contrasts(learned, HERE, "new")
    told = []
    for method in ("average", "ties"):
        arm = Arm(HERE, "new", "ExcTar", method, "REAL", 3, ())
        told.append(Prediction(arm, predict(learned, arm, 2.0, []), 0.0, 1.0, 2.0, against[arm.recipe]))
    assert told[0].estimate.mean_pp > told[1].estimate.mean_pp
    assert first(told).arm.method == "ties"
    average, ties = worths(told, 1.0)
    assert ties - average == pytest.approx(2.0, abs=0.1)


def test_an_arm_loses_to_another_by_what_its_sources_lack():
    found = [measured(f"t{t}", method, 4.0) for t in range(6) for method in ("average", "ties")]
    learned = learn(found)
    against = contrasts(learned, HERE, "new")
    arm = found[0].arm
    arm = Arm(HERE, "new", *(getattr(arm, name) for name in ("mode", "method", "similarity", "k", "params")))
    leads = (0.0, 2.0, None, 7.0)
    told = [
        Prediction(arm, predict(learned, arm, lead, []), 0.0, 1.0, lead, against[arm.recipe])
        for lead in leads
    ]
    order = worths(told, 1.0)
    assert order[0] - order[1] == pytest.approx(-2 * SLOPE)
    assert all(better >= worse for better, worse in pairwise((order[0], order[1], order[3])))
    assert order[3] < order[2] < order[0]  # an unknown lead counts as the mean of the known ones


def test_recipes_measured_once_each_are_not_told_apart():
    found = [
        replace(one, arm=replace(one.arm, k=k), row=replace(one.row, k=k))
        for k, gain in enumerate((-10.0, -4.0, 0.0, 8.0), 2)
        for one in [measured(f"target-{k}", "ties", gain)]
    ]
    effects = [one.effect_pp for one in contrasts(learn(found), HERE, "sw-KE").values()]
    assert len(effects) == 4 and np.ptp(effects) < 1e-9


# Which arms a pilot tries


def test_a_trial_prefers_the_arm_whose_difference_to_the_first_varies_between_targets():
    draw = random.Random(1)
    found = []
    for t in range(12):
        found += [measured(f"t{t}", "ensemble_soft", 5.0), measured(f"t{t}", "average", 4.8)]
        found.append(measured(f"t{t}", "ties", 4.0 + draw.gauss(0, 6)))
    against = contrasts(learn(found), HERE, "new")
    told = []
    for method in ("ensemble_soft", "average", "ties"):
        arm = Arm(HERE, "new", "ExcTar", method, "REAL", 3, ())
        told.append(Prediction(arm, predict(learn(found), arm, 2.0, []), 0.0, 1.0, 2.0, against[arm.recipe]))
    ties, average = rivals(told, 0, found, 1.0)
    assert (ties.place, average.place) == (2, 1) and ties.apart > 4 * average.apart
    alone = rivals(told, 0, [], 1.0)
    assert {one.apart for one in alone} == {9.0}  # nothing measured: the stated spread


def test_rounds_of_a_trial_double_and_end_on_every_item():
    assert (
        sizes_of(160, 4) == [80, 160] and sizes_of(160, 8) == [40, 80, 160] and sizes_of(160, 1) == [80, 160]
    )
    assert sizes_of(12, 4) == [12]


def test_half_of_the_arms_stay_and_the_advised_one_until_the_last_round():
    assert halved([3, 1, 2, 0], 0) == [3, 0] and halved([3, 0], 0) == [3] and halved([0, 1, 2], 0) == [0, 1]
