"""Screens survive odd sessions, entries that disappear, and looks that fail."""

from __future__ import annotations

import pytest
from beside import ready
from conftest import row
from looking import notes, press, settled, text_of
from merginguriel_tui import session
from pilot import play


@pytest.fixture
def space(bench):
    bench.skill()
    bench.entry(row())
    return bench.load_space()


@pytest.mark.parametrize(
    "kept",
    [{"target": 5}, {"target": ["a"]}, {"asked": "x"}, {"target": "sw-KE", "asked": []},
     {"target": "sw-KE", "asked": {"k": "many", "method": ["ties"], "min_gain": 3}}],
)  # fmt: skip
def test_a_session_file_that_says_anything_is_no_end(space, kept):
    session.write(space, {"screen": "advise", "advise": kept})

    async def script(app, pilot):
        await ready(app, pilot)
        named = kept.get("target") == "sw-KE"
        assert (app.screen.advice is not None) == named
        assert ("Choose a target" in text_of(app)) != named

    play(space, script)


def test_back_passes_over_an_entry_that_is_gone(bench, space):
    gone = bench.entry(row(value=0.5), entry="2026-01-19-before-00000002", title="Before")

    async def script(app, pilot):
        await ready(app, pilot)
        for name in ("2026-01-20-test-00000001", "2026-01-19-before-00000002", "2026-01-20-test-00000001"):
            app.screen.open(name)
            await settled(app, pilot)
        app.screen.before.append("2026-01-19-before-00000002")
        gone.unlink()
        await press(app, pilot, "ctrl+r", "backspace", "backspace")
        assert app.screen.here == "2026-01-20-test-00000001" and not notes(app)

    play(space, script, screen="log")


def test_moving_onto_an_entry_that_went_while_the_list_is_drawn_again_is_no_end(bench, space):
    gone = bench.entry(row(value=0.5), entry="2026-01-19-before-00000002", title="Before")

    async def script(app, pilot):
        await ready(app, pilot)
        screen = app.screen
        gone.unlink()
        screen.select = lambda: None  # the thread that asks for the list is slow
        await press(app, pilot, "ctrl+r")
        assert len(screen.found) == 2 and screen.knowledge.by_entry.keys() == {"2026-01-20-test-00000001"}
        screen.table.focus()
        await press(app, pilot, "j")
        del screen.select
        screen.select()
        await settled(app, pilot)
        assert screen.here == "2026-01-20-test-00000001" and len(screen.found) == 1

    play(space, script, screen="log")


def test_reading_again_shows_what_others_say_of_an_entry_by_now(bench, space):
    doubt = "x\n\n## Contests\n\nA doubt.\n\n- rows=2026-01-20-test-00000001#r1"

    async def script(app, pilot):
        await ready(app, pilot)
        assert "A test" in app.screen.page.text and "contested" not in app.screen.page.text
        bench.entry(table=doubt, entry="2026-01-21-doubt-00000003")
        await press(app, pilot, "ctrl+r")
        assert app.screen.here == "2026-01-20-test-00000001" and "contested" in app.screen.page.text

    play(space, script, screen="log")
