"""Time left of the quickstart: it changes with the speed, and not because one step ends and another begins."""

from __future__ import annotations

from itertools import pairwise

import pytest

from merginguriel.loop.quickstart_time import Pace, expected


@pytest.mark.parametrize("slower", [0.5, 1.0, 6.0])
def test_the_time_left_does_not_jump_between_steps(slower):
    pace = Pace({"train a": 12.0, "train b": 12.0, "score": 40.0})
    before = pace.left("train a", 1.0, 12.0 * slower)
    pace.finish("train a", 12.0 * slower)
    assert pace.left("train b", 0.0, 0.0) == pytest.approx(before)
    assert before == pytest.approx(52.0 * (120 + 12 * slower) / 132)


def test_a_step_that_was_done_before_says_nothing_about_the_speed():
    pace = Pace({"train a": 12.0, "score": 40.0})
    pace.finish("train a", 0.1, skipped=True)
    assert pace.left("score", 0.0, 0.0) == 40.0


# Seconds of each step on two busy cores, from a run of the quickstart.
MEASURED = {
    "base": 20.0, "train cs-CZ": 35.7, "train en-US": 26.6, "train it-IT": 31.1, "train pl-PL": 33.3, "train ru-RU": 24.3,
    "train sr-RS": 24.8, "score": 122.3, "pilot": 7.9, "merge": 20.8,
}  # fmt: skip


@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
def test_the_time_left_hardly_rises_after_the_first_training_whatever_the_speed(speed):
    pace = Pace(expected([*MEASURED], models=6, merges=4))
    left = []
    for step, seconds in MEASURED.items():
        left += [pace.left(step, share, share * seconds * speed) for share in (0.0, 0.5, 1.0)]
        pace.finish(step, seconds * speed)
    after = left[6:]
    assert max(b - a for a, b in pairwise(after)) < 10
    assert left[0] == pytest.approx(sum(MEASURED.values()), rel=0.1)
