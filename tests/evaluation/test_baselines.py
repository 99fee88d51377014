"""Are all baselines there, chosen without looking at the test items, and are the two goals told honestly?"""

from __future__ import annotations

import numpy as np
import pytest

from merginguriel.errors import UsageError
from merginguriel.evaluation.baselines import KINDS, baselines, goal, lacking
from merginguriel.evaluation.nxn import Matrix
from merginguriel.tasks.registry import Item, TaskData

SOURCES = ("de-DE", "en-US", "fr-FR", "sw-KE")
N = 400


def answers(share, seed):
    return np.random.default_rng(seed).random(N) < share


def matrix(shares, seed=0):
    right = {(s, "sw-KE"): answers(p, i + seed) for i, (s, p) in enumerate(zip(SOURCES, shares, strict=True))}
    values = np.array([[r.mean()] for r in right.values()])
    return Matrix(SOURCES, ("sw-KE",), values, np.array([N]), right)


DEV = matrix([0.5, 0.4, 0.7, 0.9], seed=50)
TEST = matrix([0.5, 0.6, 0.45, 0.9])
DATA = TaskData("t", "sw-KE", ("a", "b"), *[tuple(Item(f"{i}", "x", "ab"[i % 3 == 0]) for i in range(N))] * 3)


def test_with_what_the_caller_hands_in_every_baseline_is_there():
    given = {"average_merge": answers(0.5, 90), "pretrained_base": answers(0.1, 91),
             "untuned_merge": answers(0.4, 92), "joint": answers(0.6, 93)}  # fmt: skip
    found = baselines("sw-KE", DEV, TEST, ["de-DE", "en-US"], DATA, given=given)
    assert list(found) == list(KINDS) and lacking(found) == []
    assert found["average_merge"].value == given["average_merge"].mean()
    assert found["best_single_source"].model == "de-DE"
    # Of all models, fr-FR is the best on dev; on test it is not, and that may not help.
    assert found["best_zero_shot"].model == "fr-FR"
    assert found["best_zero_shot"].value == TEST.value("fr-FR", "sw-KE")
    assert found["target_alone"].model == "sw-KE" and found["majority_class"].note == "always a"


def test_what_is_lacking_is_named():
    found = baselines("sw-KE", DEV, TEST, ["de-DE"])
    assert lacking(found) == ["average_merge", "majority_class", "pretrained_base"]


def test_a_model_that_only_one_matrix_knows_is_no_candidate():
    dev = Matrix(SOURCES, ("sw-KE",), DEV.scores.copy(), DEV.n)
    dev.scores[2] = np.nan
    assert baselines("sw-KE", dev, TEST, ["de-DE"])["best_zero_shot"].model == "de-DE"


def test_other_items_and_unknown_kinds_are_refused():
    with pytest.raises(UsageError, match="scored on 3 items, the others on 400"):
        baselines("sw-KE", DEV, TEST, ["de-DE"], given={"average_merge": np.ones(3, bool)})
    with pytest.raises(UsageError, match="unknown baseline 'oracle'"):
        baselines("sw-KE", DEV, TEST, ["de-DE"], given={"oracle": np.ones(N, bool)})


def test_goal_1_is_to_beat_the_best_model_of_another_locale():
    found = baselines("sw-KE", DEV, TEST, ["de-DE", "en-US"])
    better, same, worse = (goal("ExcTar", answers(p, 99), found) for p in (0.8, 0.46, 0.2))
    assert [g.state for g in (better, same, worse)] == ["reached", "undecided", "missed"]
    assert better.aim == f"{KINDS['best_zero_shot']} (fr-FR)"
    assert same.comparison.mde is not None


def test_goal_2_is_to_beat_the_targets_own_model():
    found = baselines("sw-KE", DEV, TEST, ["de-DE", "sw-KE"])
    own = goal("IncTar", answers(0.5, 99), found)
    assert (own.number, own.state, own.against.model) == (2, "missed", "sw-KE")


def test_without_answers_item_by_item_no_goal_is_stated():
    bare = Matrix(SOURCES, ("sw-KE",), TEST.scores, TEST.n)
    assert goal("IncTar", answers(0.5, 99), baselines("sw-KE", DEV, bare, ["de-DE"])) is None
