"""A pilot tries arms on development items, confirms one on test items, and goes on after it was killed."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest
from run_files import QUICK, config_file, only_run, space_of, steps, until

from merginguriel.config import run_config as configs
from merginguriel.errors import UsageError
from merginguriel.evaluation.confidence_sequence import Bounds
from merginguriel.evaluation.significance import compare
from merginguriel.runs import run_store, worker
from merginguriel.runs.kinds import pilot_arms
from merginguriel.runs.kinds.pilot import ArmItems, order_of, remaining, standing, updated
from merginguriel.similarity.choice import Choice
from merginguriel.tasks.registry import Item

NUMBERS = (1.0, 3.0, 0.0, -0.5, 9.0)  # mean, sd, price, ahead, apart
NAMED = {"sources": ["de-DE", "en-US"]}
ARMS = [
    pilot_arms.write({"method": "average", **NAMED}, *NUMBERS, logged=None),
    pilot_arms.write({"method": "ties", "params.density": 0.3, **NAMED}, *NUMBERS, logged="REAL"),
    pilot_arms.write({"method": "ensemble_soft", **NAMED}, *NUMBERS, logged="REAL"),
]


def pilot_of(lab, arms=ARMS, **keys):
    more = {"kind": "pilot", "method": None, "similarity": None, "k": None, "arms": arms}
    return config_file(lab, **{**more, **keys})


def test_an_arm_is_read_back_as_it_was_written():
    pilot = configs.from_table({"kind": "pilot", "target": "sv-SE", "arms": ARMS})
    average, ties, soft = pilot_arms.arms_of(pilot)
    assert (ties.method, ties.config.params, ties.config.sources) == (
        "ties",
        {"density": 0.3},
        ("de-DE", "en-US"),
    )
    assert (ties.mean_pp, ties.sd_pp, ties.ahead_pp, ties.apart) == (1.0, 3.0, -0.5, 9.0)
    assert ties.similarity == "REAL" and not ties.together
    assert average.similarity is None and soft.together and soft.ensemble == "soft"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("method=ties&mean=x&sd=1&price=1&ahead=0&apart=1", "not an arm"),
        ("method=ties&mean=1.00&sd=3.00", "lacks price, ahead, apart: an earlier version"),
    ],
)
def test_a_word_that_is_no_arm_or_that_of_an_earlier_version_is_refused(word, said):
    pilot = configs.from_table({"kind": "pilot", "target": "sv-SE", "arms": [word]})
    with pytest.raises(UsageError, match=said):
        pilot_arms.arms_of(pilot)


def test_variants_of_a_template_stay_in_one_round():
    items = [Item(str(i), "text", "label", f"t{i // 3}") for i in range(30)]
    order = order_of(items, 0)
    assert sorted(i for unit in order for i in unit) == list(range(30)) and all(
        len({i // 3 for i in unit}) == 1 for unit in order
    )
    assert order != order_of(items, 1)


def test_the_standing_lies_between_the_prior_and_what_was_measured():
    pilot = configs.from_table({"kind": "pilot", "target": "sv-SE", "arms": ARMS})
    trial = ArmItems(pilot_arms.arms_of(pilot)[0], Choice(()), None)
    updated(trial, np.array([0.0, -1.0, 0.0, 0.0, -1.0] * 10), 0.05)
    assert -40 < trial.mean_pp < 1.0 and trial.sd_pp < 3.0
    weak = ArmItems(pilot_arms.arms_of(pilot)[0], Choice(()), None)
    updated(weak, np.array([0.0, -1.0, 0.0, 0.0, -1.0] * 10), 0.05, labels=False)
    assert trial.mean_pp < weak.mean_pp < 1.0 and trial.sd_pp < weak.sd_pp < 3.0


def test_an_arm_stands_before_the_advised_one_once_its_posterior_mean_is_higher():
    pilot = configs.from_table({"kind": "pilot", "target": "sv-SE", "arms": ARMS})
    advised, other = (ArmItems(arm, Choice(()), None) for arm in pilot_arms.arms_of(pilot)[:2])
    groups = [str(i) for i in range(60)]
    advised.right = np.arange(60) % 2 == 0

    def ahead(more: int) -> float:
        other.right = advised.right.copy()
        other.right[1 : 2 * more : 2] = True
        return standing(other, advised, groups, labels=True)

    assert standing(advised, advised, groups, labels=True) == 0
    assert -0.5 < ahead(0) < 0 < ahead(5) < 100 * 5 / 60  # between the prior and what was measured


def test_half_of_the_arms_remain_without_those_that_are_surely_worse():
    pilot = configs.from_table({"kind": "pilot", "target": "sv-SE", "arms": [*ARMS, ARMS[0]]})
    order = [ArmItems(arm, Choice(()), None) for arm in pilot_arms.arms_of(pilot)]
    best, *_, advised = order
    assert remaining(order, advised, 1.0) == [best, advised]
    for arm in order[1:3]:
        arm.seen = Bounds(-9.0, -1.0, -5.0, 80)
    assert remaining(order, advised, 1.0) == [best, advised]  # not the best alone, before the last round
    best.seen = advised.seen = order[1].seen
    assert remaining(order, advised, 1.0) == [advised]


@pytest.mark.slow
@pytest.mark.lab
def test_the_winner_is_scored_once_on_test_items_and_compared_with_the_best_single_model(trained):
    ran = trained.mu("run", pilot_of(trained, training=QUICK), "--workspace", trained.space, "--json")
    assert ran.code == 0, ran
    found, run = ran.data, only_run(trained)
    winner = next(arm for arm in found["arms"] if arm["won"])
    assert found["outcome"] in ("better", "equivalent", "worse", "undecided") and found["n"] == 28
    assert winner["items"] == 20 and min(arm["items"] for arm in found["arms"]) <= 20
    items = np.load(run.folder / "items.npz")
    name = found["method"] if found["method"].startswith("ensemble") else "merge"
    other = compare(items[name], items["best_single_source"], groups=list(items["groups"]))
    assert other.difference == pytest.approx(
        found["baselines"]["best_single_source"]["comparison"]["difference"]
    )
    assert sum(text.startswith("confirm") for text in steps(run)) == 1
    shown = trained.mu("runs", "show", run.id, "--workspace", trained.space)
    assert shown.code == 0 and "that chose nothing" in shown.out


@pytest.mark.slow
@pytest.mark.lab
@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
def test_a_pilot_that_is_killed_goes_on(trained):
    config = configs.load(pilot_of(trained, training=QUICK))
    run, pid = worker.launch(space_of(trained), config)
    until(lambda: any(text.startswith("round 1") for text in steps(run)))
    os.kill(pid, signal.SIGKILL)
    until(lambda: run_store.state(run) == "dead")
    assert worker.execute(run) == "finished"
    found = run_store.result(run)
    assert found["outcome"] and sum(arm["won"] for arm in found["arms"]) == 1
