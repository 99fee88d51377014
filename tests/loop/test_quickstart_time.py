"""Time left of the quickstart: it changes with the speed, and not because one step ends and another begins."""

from __future__ import annotations

import pytest

from merginguriel.loop.quickstart_time import Pace


@pytest.mark.parametrize("slower", [0.5, 1.0, 6.0])
def test_the_time_left_does_not_jump_between_steps(slower):
    pace = Pace({"train a": 12.0, "train b": 12.0, "score": 40.0})
    before = pace.left("train a", 1.0, 12.0 * slower)
    pace.finish("train a", 12.0 * slower)
    assert pace.left("train b", 0.0, 0.0) == pytest.approx(before)
    assert before == pytest.approx(52.0 * (20 + 12 * slower) / 32)


def test_a_step_that_was_done_before_says_nothing_about_the_speed():
    pace = Pace({"train a": 12.0, "score": 40.0})
    pace.finish("train a", 0.1, skipped=True)
    assert pace.left("score", 0.0, 0.0) == 40.0
