"""Does Compare show what `mu runs compare` prints, with the first run changeable and seeds together?"""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from pilot import play
from run_screens import SIZES, finished, press, settled, shown, until

from merginguriel.experiments.against import by_seed, compared


@pytest.fixture
def space(bench):
    (bench.root / "mu.toml").write_text('context = "home/e5-small"\n')
    return bench.load_space()


def answers(share, seed):
    return np.random.default_rng(seed).random(200) < share


@pytest.mark.parametrize("size", SIZES)
def test_the_figures_are_those_of_the_command_below(space, mu, size):
    found = [finished(space, "da-DK", answers(0.5, 1)), finished(space, "da-DK", answers(0.8, 2), method="average"),
             finished(space, "nb-NO", answers(0.6, 3))]  # fmt: skip
    seen = {}

    async def script(app, pilot):
        await settled(app, pilot)
        seen.update(command=app.screen.command, text=app.screen.copied("text"), csv=app.screen.copied("csv"))
        assert "What differs" in shown(app) and "method" in shown(app)

    play(space, script, size=size, screen="compare", what=[run.id for run in found])
    printed = mu(*shlex.split(seen["command"])[1:], "--json", "--workspace", space.root).json
    for one in printed:
        assert f"{100 * one['accuracy']:.2f}%" in seen["text"] and one["run"] in seen["csv"]
    c = printed[1]["comparison"]
    assert f"{c['difference']:+.1f}" in seen["text"] and f"{c['interval']['low']:+.1f} … " in seen["text"]
    assert "▲ above" in seen["text"] and "other target" in seen["text"]
    assert set(printed[0]["settings"]) == {"target", "method"} and "similarity" not in seen["text"]
    low = 100 * printed[2]["locales"][0]["low"]
    assert f"{low:.1f} … " in seen["text"] and "nb-NO" in seen["text"]


def test_the_next_run_can_be_the_first_and_others_can_be_named(space):
    a, b = (
        finished(space, "da-DK", answers(0.5, 1)),
        finished(space, "da-DK", answers(0.8, 2), method="average"),
    )

    async def script(app, pilot):
        await settled(app, pilot)
        assert "Mark two runs" in shown(app)
        await press(app, pilot, "slash", *a.id[-8:], "enter")
        assert any("two runs or more" in note.message for note in app._notifications)
        await press(app, pilot, "space", *b.id[-8:], "enter")
        assert app.screen.command == f"mu runs compare {a.id} {b.id}" and "▲ above" in shown(app)
        await press(app, pilot, "f")
        assert app.screen.command == f"mu runs compare {b.id} {a.id}" and "▼ below" in shown(app)
        await press(app, pilot, "slash", "escape", "enter")
        await until(app, pilot, lambda: app.screen.command == f"mu runs show {b.id}")

    play(space, script, screen="compare")


def test_seeds_are_taken_together_as_the_core_does(space, mu):
    found = [finished(space, "da-DK", answers(0.5, s), seed=s) for s in (1, 2, 3)]
    found += [finished(space, "da-DK", answers(0.8, 10 + s), seed=s, method="average") for s in (1, 2, 3)]
    groups = by_seed(compared(found), found)
    assert [len(group.runs) for group in groups] == [3, 3] and groups[0].found is None
    rights = [[answers(0.5, s) for s in (1, 2, 3)], [answers(0.8, 10 + s) for s in (1, 2, 3)]]
    assert groups[1].found.value == pytest.approx(100 * (np.mean(rights[1]) - np.mean(rights[0])))
    assert groups[1].mean == pytest.approx(np.mean(rights[1])) and groups[1].found.verdict == "above"
    seen = []

    async def script(app, pilot):
        await settled(app, pilot)
        seen.append(app.screen.copied("text"))

    play(space, script, size=(160, 50), screen="compare", what=[run.id for run in found])
    printed = mu("runs", "compare", *(run.id for run in found), "--workspace", space.root).out
    said = [line for line in printed.splitlines() if line.startswith("3 ")]
    assert len(said) == 2 and "outside noise" in said[1]
    assert said[1].partition("…")[2].split("  ", 1)[1].strip() in seen[0]
