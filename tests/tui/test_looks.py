"""Sessions, copies, and what a wide terminal shows in addition."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from looking import press, settled, shipped_copy, text_of
from merginguriel_tui import session
from merginguriel_tui.base import homely
from pilot import play
from run_screens import finished, until

from merginguriel import workspace


@pytest.fixture
def space(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = tmp_path / "work"
    root.mkdir()
    (root / "mu.toml").write_text('context = "home/e5-small"\n')
    for part in ("skills", "experiment_log"):
        (root / part).mkdir()
    return workspace.find(explicit=root)


@pytest.fixture
def known(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = tmp_path / "work"
    root.mkdir()
    return shipped_copy(root)


@pytest.mark.slow
def test_the_open_skill_and_the_filters_of_the_log_are_there_again(known):
    skill, word = "dare-cross-lingual-negative", "NeuroMerging"

    async def first(app, pilot):
        await until(app, pilot, lambda: app.screen.knowledge is not None)
        app.screen.open(skill)
        await settled(app, pilot)
        await press(app, pilot, "3")
        await until(app, pilot, lambda: app.screen.knowledge is not None)
        app.screen.query_one("#find").value = word
        await until(app, pilot, lambda: 0 < len(app.screen.found) < 10)
        await press(app, pilot, "down", "down")
        app.screen.query_one("#timeline").focus()
        await press(app, pilot, "down")
        app.read = app.screen.here
        await press(app, pilot, "q")

    async def again(app, pilot):
        assert app.current_mode == "log"
        await until(
            app, pilot, lambda: 0 < len(app.screen.found) < 10 and app.screen.here == kept["log"]["entry"]
        )
        assert app.screen.command == f"mu log list --text {word}"
        await press(app, pilot, "2")
        await until(app, pilot, lambda: app.screen.name_ == skill)

    play(known, first, screen="skills")
    kept = session.read(known)
    assert kept["skills"]["open"] == skill and kept["log"]["filters"] == {"text": word}
    play(known, again)


@pytest.mark.slow
def test_the_order_of_runs_and_the_runs_that_were_compared_are_there_again(space):
    one, two = finished(space, "da-DK", [1, 0, 1, 0]), finished(space, "da-DK", [1, 1, 1, 0], seed=1)

    async def first(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "s")
        app.action_go("compare", one.id, two.id)
        await until(app, pilot, lambda: app.screen.found is not None)
        await press(app, pilot, "q")

    async def again(app, pilot):
        await until(app, pilot, lambda: app.screen.found is not None)
        assert [each.run for each in app.screen.found.runs] == [one.id, two.id]
        await press(app, pilot, "4")
        await until(app, pilot, lambda: "best first" in text_of(app))
        assert app.screen.command.startswith("mu runs list --order best")

    play(space, first, screen="runs")
    play(space, again)


WRONG = {
    "open": [],
    "order": [],
    "text": {},
    "runs": ["gone", "gone too"],
    "filters": 7,
    "only": "x",
    "entry": 2,
}


@pytest.mark.parametrize("rest", [3, WRONG], ids=["a number", "other types"])
def test_what_a_session_left_may_be_anything(known, rest):
    screens = ("skills", "log", "runs", "compare")
    session.path(known).parent.mkdir(parents=True, exist_ok=True)
    session.path(known).write_text(json.dumps({"screen": screens[0], **dict.fromkeys(screens, rest)}))

    async def script(app, pilot):
        for screen in screens:
            if screen != screens[0]:
                app.action_go(screen)
            await settled(app, pilot)
            await until(app, pilot, lambda: getattr(app.screen, "knowledge", app) is not None)
            await settled(app, pilot)
            assert app.current_mode == screen and f" {screen}]" in text_of(app)
        assert not [note for note in app._notifications if note.severity == "error"]

    play(known, script)


def test_what_is_shown_leaves_as_markdown_and_csv_by_a_key(space):
    run = finished(space, "da-DK", [1, 0, 1, 0])

    async def script(app, pilot):
        await until(app, pilot, lambda: run.id[:20] in text_of(app))
        await press(app, pilot, "M")
        assert app.clipboard.startswith("| state | run |") and run.id in app.clipboard
        await press(app, pilot, "C")
        assert app.clipboard.startswith("state,run,") and run.id in app.clipboard

    play(space, script, screen="runs")


def test_a_wide_terminal_shows_what_the_run_under_the_cursor_came_to(space):
    finished(space, "da-DK", [1, 0, 1, 0])

    async def script(app, pilot):
        await until(app, pilot, lambda: "da-DK  ExcTar  ties  50.00%" in text_of(app))
        assert "target      da-DK" in text_of(app) and "sources  de-DE 0.50, sv-SE 0.50" in text_of(app)

    play(space, script, size=(180, 40), screen="runs")

    async def narrow(app, pilot):
        await settled(app, pilot)
        assert not app.screen.query_one("#preview").display

    play(space, narrow, size=(110, 40), screen="runs")


@pytest.mark.slow
def test_e_explains_the_words_that_the_command_explains(known):
    from merginguriel.text.advice import LEGEND

    async def script(app, pilot):
        await until(app, pilot, lambda: "detects" in text_of(app))
        await press(app, pilot, "e")
        for word, meaning in LEGEND:
            assert word in text_of(app) and meaning[:30] in text_of(app)
        await press(app, pilot, "e")
        assert app.screen.advice is not None

    play(known, script, size=(160, 50), screen="advise", what=("sw-KE",))


def test_the_key_above_opens_the_help_by_a_click_too(space):
    async def script(app, pilot):
        await settled(app, pilot)
        assert text_of(app).splitlines()[0].endswith("? keys")
        await pilot.click("#tabs", offset=(117, 0))
        await settled(app, pilot)
        assert type(app.screen).__name__ == "HelpScreen"

    play(space, script, size=(120, 30), screen="runs")


def test_the_key_above_is_one_that_works_in_a_field_while_a_field_has_the_focus(space):
    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "slash")
        assert text_of(app).splitlines()[0].endswith("f1 keys")
        await press(app, pilot, "f1")
        assert type(app.screen).__name__ == "HelpScreen"
        await press(app, pilot, "escape", "escape")
        assert text_of(app).splitlines()[0].endswith("? keys")

    play(space, script, size=(120, 30), screen="runs")


def test_home_is_short(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")

    assert homely(Path("/home/somebody/merging")) == "~/merging"
    assert homely(Path("/srv/merging")) == "/srv/merging"
