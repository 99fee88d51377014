"""Text in the editor is safe when it lands slowly, the disk refuses, or the user is elsewhere."""

from __future__ import annotations

import shutil
import threading

import pytest
from beside import ready
from conftest import row
from looking import notes, press, settled
from merginguriel_tui import session
from merginguriel_tui.registry import create
from merginguriel_tui.screens.compose_entry import ComposeScreen
from merginguriel_tui.screens.log import LogScreen
from pilot import play
from run_screens import finished, until

from merginguriel.knowledge.log import acceptance, append, drafts

GOOD = """---
title: "Hello"
type: "Observation"
date: "2026-11-20"
summary: "Seen."
context: "home/e5-small"
---

## Text

{body}
"""


@pytest.fixture
def space(bench, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (bench.root / "mu.toml").write_text('context = "home/e5-small"\n')
    bench.skill()
    bench.entry(row())
    return bench.load_space()


def held_up(monkeypatch, module, name):
    """The function waits until the second event is set; the first says that it was called."""
    real, began, go = getattr(module, name), threading.Event(), threading.Event()

    def slow(*given, **named):
        began.set()
        assert go.wait(120)
        return real(*given, **named)

    monkeypatch.setattr(module, name, slow)
    return began, go


async def compose(app, pilot, text=None):
    await ready(app, pilot)
    path = drafts.folder(app.space.log) / "aaaa1111.md"
    app.push_screen(create("compose", text or GOOD.format(body="x"), path, app.screen._written, filled=True))
    await until(app, pilot, lambda: isinstance(app.screen, ComposeScreen))
    await until(app, pilot, lambda: app.screen.entry is not None)
    return app.screen


async def land(app, pilot):
    """As far as the disk: what is shown is the screen itself again."""
    screen = app.screen
    await pilot.press("f2")
    await until(app, pilot, lambda: app.screen is not screen)
    await pilot.press("y")
    await until(app, pilot, lambda: app.screen is screen)


def unwritable(space):
    folder = drafts.folder(space.log)
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("not a folder")


def landed(space):
    return [path.name for path in space.log.rglob("*hello*.md")]


@pytest.mark.slow
def test_an_entry_that_lands_while_one_is_elsewhere_leaves_its_own_screen_alone(space, monkeypatch):
    began, go = held_up(monkeypatch, acceptance, "accept")

    async def script(app, pilot):
        screen = await compose(app, pilot)
        await land(app, pilot)
        await until(app, pilot, began.is_set)
        app.action_go("skills")
        await until(app, pilot, lambda: app.current_mode == "skills")
        go.set()
        await until(app, pilot, lambda: "added to the log" in notes(app))
        assert app.current_mode == "skills" and len(app.screen_stack) == 1
        app.action_go("log")
        await until(app, pilot, lambda: not screen.is_attached)
        await settled(app, pilot)
        assert isinstance(app.screen, LogScreen) and "hello" in app.screen.here

    play(space, script, screen="log")
    assert landed(space) and not drafts.listed(space)


@pytest.mark.slow
def test_an_entry_that_lands_behind_the_help_is_left_when_the_help_is(space, monkeypatch):
    began, go = held_up(monkeypatch, acceptance, "accept")

    async def script(app, pilot):
        screen = await compose(app, pilot)
        await land(app, pilot)
        await until(app, pilot, began.is_set)
        await pilot.press("f1")
        helping = app.screen
        assert helping is not screen
        go.set()
        await until(app, pilot, lambda: "added to the log" in notes(app))
        assert app.screen is helping
        await pilot.press("escape")
        await until(app, pilot, lambda: isinstance(app.screen, LogScreen))

    play(space, script, screen="log")


@pytest.mark.slow
def test_an_entry_asked_for_while_another_landed_is_the_one_that_is_shown(space, monkeypatch):
    began, go = held_up(monkeypatch, acceptance, "accept")

    async def script(app, pilot):
        await compose(app, pilot)
        await land(app, pilot)
        await until(app, pilot, began.is_set)
        app.action_go("skills")
        go.set()
        await until(app, pilot, lambda: "added to the log" in notes(app))
        app.action_go("log", "2026-01-20-test-00000001")
        await settled(app, pilot)
        assert isinstance(app.screen, LogScreen) and app.screen.here == "2026-01-20-test-00000001"

    play(space, script, screen="log")


@pytest.mark.slow
def test_while_an_entry_lands_keys_neither_change_it_nor_are_commands(space, monkeypatch):
    began, go = held_up(monkeypatch, acceptance, "accept")

    async def script(app, pilot):
        screen = await compose(app, pilot)
        text = screen.text
        await land(app, pilot)
        await until(app, pilot, began.is_set)
        await pilot.press("q", "1", "a", "enter", "f2", "f8", "escape")
        assert app.screen is screen and screen.text == text
        go.set()
        await until(app, pilot, lambda: isinstance(app.screen, LogScreen))

    play(space, script, screen="log")
    assert len(landed(space)) == 1 and not drafts.listed(space)


def test_what_changes_while_an_entry_lands_is_kept_as_a_draft(space, monkeypatch):
    began, go = held_up(monkeypatch, acceptance, "accept")

    async def script(app, pilot):
        screen = await compose(app, pilot)
        await land(app, pilot)
        await until(app, pilot, began.is_set)
        screen.area.insert("ANOTHER THOUGHT", screen.area.document.end)
        go.set()
        await until(app, pilot, lambda: isinstance(app.screen, LogScreen))
        assert "Later changes are saved as draft aaaa1111" in notes(app)

    play(space, script, screen="log")
    assert landed(space)
    assert "ANOTHER THOUGHT" in (drafts.folder(space.log) / "aaaa1111.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("end", ["land", "discard"])
def test_a_draft_that_is_being_kept_does_not_come_back_after_the_end(space, monkeypatch, end):
    began, go = held_up(monkeypatch, append, "keep_draft")

    async def script(app, pilot):
        screen = await compose(app, pilot)
        screen.area.load_text(GOOD.format(body="y"))
        await settled(app, pilot)
        await until(app, pilot, lambda: screen.entry is not None)
        screen.keep()
        await until(app, pilot, began.is_set)
        if end == "land":
            screen._land(screen.text)
        else:
            screen._discard()
        screen.keep()
        await pilot.pause(0.1)
        go.set()
        await until(app, pilot, lambda: isinstance(app.screen, LogScreen))
        await settled(app, pilot)

    play(space, script, screen="log")
    assert not drafts.listed(space) and bool(landed(space)) == (end == "land")


@pytest.mark.slow
def test_a_draft_that_cannot_be_kept_is_told_once_and_the_text_stays(space):
    seen = {}

    async def script(app, pilot):
        seen["app"] = app
        screen = await compose(app, pilot)
        unwritable(space)
        screen.area.insert("<!-- mine -->", screen.area.document.end)
        for _ in range(3):
            screen.keep()
            await settled(app, pilot)
        assert len(app._notifications) == 1 and "aaaa1111.md" in notes(app)
        await press(app, pilot, "escape")
        assert app.screen is screen and not screen.area.read_only and len(app._notifications) == 2
        # The program ends here: the text goes where sessions are kept, and that is said.

    play(space, script, screen="log")
    (place,) = seen["app"].drafts_outside
    assert place.parent == session.path(space).parent and "<!-- mine -->" in place.read_text()


def test_a_form_that_was_never_kept_can_be_left_though_nothing_can_be_written(space):
    async def script(app, pilot):
        await compose(app, pilot)
        unwritable(space)
        await press(app, pilot, "escape")
        assert isinstance(app.screen, LogScreen)

    play(space, script, screen="log")


@pytest.mark.slow
def test_coming_back_to_a_text_begins_nothing_twice(space):
    async def script(app, pilot):
        screen = await compose(app, pilot)
        before = len(screen._timers)
        for _ in range(3):
            app.action_go("skills")
            await pilot.pause(0.05)
            app.action_go("log", "2026-01-20-test-00000001")
            await settled(app, pilot)
        assert app.screen is screen and len(screen._timers) <= before
        for letter in "abcdef":
            screen.area.insert(letter)
            await pilot.pause(0.01)
        assert len(screen._timers) <= before + 1
        await press(app, pilot, "escape")
        assert app.screen.here == "2026-01-20-test-00000001"  # what was asked for waited

    play(space, script, screen="log")


def test_a_run_that_is_asked_for_replaces_the_one_that_is_open(space):
    first, second = finished(space, "sw-KE", [1, 0] * 4), finished(space, "da-DK", [1, 0] * 4)

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.table.count)
        app.screen.open_run(first.id)
        await until(app, pilot, lambda: getattr(app.screen, "facts", None))
        app.action_go("compare")
        await settled(app, pilot)
        app.action_go("runs", second.id)
        await until(app, pilot, lambda: getattr(app.screen, "facts", None))
        assert app.screen.asked == second.id and len(app.screen_stack) == 2 and not app.what

    play(space, script, screen="runs")
