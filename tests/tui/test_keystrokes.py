"""Three questions, each answered by the keys that docs/tui.md counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from looking import press, settled, shipped_copy, text_of
from merginguriel_tui.screens.run import RunScreen
from pilot import play
from run_screens import finished, until, waiting

from merginguriel.runs import run_store

DOCS = Path(__file__).parents[2] / "docs" / "tui.md"


def documented(task: str) -> list[str]:
    """Return the keys that the table of the documentation gives for a task."""
    (line,) = [line for line in DOCS.read_text().splitlines() if line.startswith(f"| {task}")]
    count, keys = line.split("|")[2].split(": ")
    found = re.findall(r"`([^`]+)`", keys)
    assert int(count) == len(found)
    return found


@pytest.fixture
def space(tmp_path):
    """The shipped knowledge with eight models, a run that failed, and merges for Danish."""
    space = shipped_copy(tmp_path / "work", 'context = "home/e5-small"\n')
    for locale in ("da-DK", "de-DE", "fi-FI", "fr-FR", "is-IS", "nb-NO", "nl-NL", "sv-SE"):
        folder = space.models / "home" / "e5-small" / locale
        folder.mkdir(parents=True)
        (folder / "training.yaml").write_text("locale: x\n")
    for seed, right in enumerate(([1, 0, 0, 0], [1, 1, 0, 1], [1, 1, 1, 0])):
        finished(space, "da-DK", right * 10, seed=seed)
    failed = run_store.Events(waiting(space, "sw-KE").folder)
    failed.add("started", pid=1)
    failed.add("failed", error="no sentences of sw-KE.\n    Add them with: mu tasks add")
    return space


@pytest.mark.slow
def test_why_the_last_run_failed_and_its_repair(space):
    keys = documented("Find why the last run failed")

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.lines)
        await settled(app, pilot)
        line = next(line for line in app.screen.lines if line.group == "failed")
        assert "no sentences of sw-KE" in text_of(app) and keys[0] == "LINE"
        await press(app, pilot, app.screen.keys[line.do])
        await until(app, pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.facts)
        await settled(app, pilot)
        assert "Add them with: mu tasks add" in text_of(app)
        before = len(run_store.events(run_store.get(space, line.do[2])))
        await press(app, pilot, *keys[1:])
        await until(app, pilot, lambda: len(run_store.events(run_store.get(space, line.do[2]))) > before)

    play(space, script, size=(120, 40), screen="home")


@pytest.mark.slow
def test_which_of_eight_targets_is_worth_a_merge_next(space):
    keys = documented("Which of my eight targets")

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.ranked)
        await settled(app, pilot)
        first = app.screen.ranked[0]
        assert keys == ["LINE"] and f"{first.do[2]}  worth " in text_of(app)
        await press(app, pilot, app.screen.keys[first.do])
        await until(app, pilot, lambda: app.current_mode == "advise" and app.screen.advice is not None)
        assert app.screen.advice.target == first.do[2]

    play(space, script, size=(120, 40), screen="home")


@pytest.mark.slow
def test_the_sentences_on_which_the_best_merges_for_danish_differ(space):
    keys = documented("Compare the two best merges for Danish")

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.lines)
        await press(app, pilot, *keys)
        await until(app, pilot, lambda: getattr(app.screen, "flips", None))
        assert (
            len(app.screen.flips.items) == 20
            and [name[:11] for name in app.screen.names] == ["merge-da-DK"] * 2
        )

    play(space, script, size=(120, 40), screen="home")
