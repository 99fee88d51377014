"""Does what every screen shares hold: palette, help, jumping, keys and colours of mu.toml, sessions, notes, faults?"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time

import pytest
from conftest import row
from looking import notes, press, settled, shipped_copy, text_of
from merginguriel_tui import dialogs, main, session
from merginguriel_tui.app import MuApp
from merginguriel_tui.dialogs import HelpScreen
from merginguriel_tui.registry import SCREENS
from pilot import play
from places import furnished
from run_screens import until, waiting
from textual.widgets import Label

from merginguriel import workspace
from merginguriel.config import run_config
from merginguriel.runs import labels
from merginguriel.runs import run_store as runs
from merginguriel.runs.run_progress import EndWatch


@pytest.fixture
def small(bench):
    """One skill, no entries: answers at once."""
    return bench


@pytest.mark.slow
def test_numbers_go_to_every_screen(small):
    async def script(app, pilot):
        for number, name in enumerate(SCREENS):
            await press(app, pilot, "escape", str(number))
            assert app.current_mode == name
            assert f"[{number} {name}]" in text_of(app)

    play(small.load_space(), script, screen="matrix")


def test_a_click_on_a_tab_goes_there(small):
    async def script(app, pilot):
        await pilot.click("#tabs", offset=(30, 0))
        await settled(app, pilot)
        assert app.current_mode == "log"

    play(small.load_space(), script, screen="matrix")


def test_the_help_lists_every_binding_that_is_active_with_its_id(small):
    async def script(app, pilot):
        await settled(app, pilot)
        app.set_focus(None)
        shown = {name for inside in dialogs.key_rows(app.screen).values() for _, _, name in inside}
        wanted = {b.id for cls in (MuApp, type(app.screen)) for b in vars(cls)["BINDINGS"] if b.id}
        assert wanted <= shown
        await press(app, pilot, "f1")
        assert "advise.save" in text_of(app)
        await press(app, pilot, "q")
        assert app.screen.NAME == "advise"

    play(small.load_space(), script, size=(100, 50), screen="advise", what=("sw-KE",))


def test_every_binding_of_ours_says_what_it_does_and_has_an_id(small):
    from merginguriel_tui import registry

    assert "advise.save" in registry.binding_ids()
    for cls in (MuApp,):
        assert all(binding.description and binding.id for binding in vars(cls)["BINDINGS"])


def test_the_palette_has_the_screens_the_copies_and_the_bindings(small):
    async def script(app, pilot):
        await settled(app, pilot)
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert {f"Go to {name}" for name in SCREENS} <= titles
        assert {"Copy as Markdown", "Copy as CSV", "Save", "Run", "What if", "Quit", "Keys"} <= titles

    play(small.load_space(), script, screen="advise", what=("sw-KE",))


@pytest.mark.slow
def test_two_keys_jump_to_every_part_of_a_screen(small):
    async def script(app, pilot):
        await settled(app, pilot)
        home = app.screen
        letters = {widget.id: letter for letter, widget in dialogs.jump_places(home).items()}
        assert {"find", "targets", "reasons", "mode", "method", "k", "context"} <= set(letters)
        for name in ("reasons", "mode", "find"):
            app.action_jump()
            await settled(app, pilot)
            assert len(app.screen.query(Label)) == len(letters)
            await press(app, pilot, letters[name])
            assert home.focused.id == name

    play(small.load_space(), script, screen="advise", what=("sw-KE",))


def test_keys_and_theme_of_mu_toml_are_taken(small):
    (small.root / "mu.toml").write_text('[tui]\ntheme = "textual-light"\n[tui.keys]\n"go.matrix" = "f6"\n')

    async def script(app, pilot):
        await settled(app, pilot)
        assert app.theme == "textual-light" and not notes(app)
        await press(app, pilot, "escape", "f6")
        assert app.current_mode == "matrix"

    play(small.load_space(), script, screen="skills")


def test_what_mu_toml_says_wrongly_is_a_note_that_names_the_nearest(small):
    (small.root / "mu.toml").write_text(
        '[tui]\ntheme = "moonless"\ncolour = 3\n[tui.keys]\n"advise.sav" = "f6"\nquit = 3\n'
    )

    async def script(app, pilot):
        await settled(app, pilot)
        told = notes(app)
        assert "unknown theme 'moonless'" in told and "textual-dark" in told
        assert "unknown setting tui.colour" in told and "tui.keys.quit must name a key" in told
        assert "unknown key id tui.keys.advise.sav" in told and "advise.save" in told

    play(small.load_space(), script, screen="skills")


def test_a_session_goes_on_where_it_ended(small):
    async def first(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "m")
        await app.action_quit()

    async def second(app, pilot):
        await settled(app, pilot)
        assert app.current_mode == "advise"
        assert app.screen.advice.target == "cy-GB" and app.screen.advice.mode == "IncTar"

    play(small.load_space(), first, screen="advise", what=("cy-GB",))
    play(small.load_space(), second)
    assert session.path(small.load_space()).is_file()


@pytest.mark.slow
def test_what_was_remembered_may_be_anything(small):
    space = small.load_space()
    place = session.path(space)
    place.parent.mkdir(parents=True, exist_ok=True)
    for text in (
        "{",
        "[1]",
        '{"screen": 7, "advise": "x"}',
        '{"home": {"ranked": 3, "hash": 1}}',
        '{"screen": "advise", "advise": {"target": "qq", "asked": {"k": "x", "mode": 4}}}',
    ):
        place.write_text(text)

        async def script(app, pilot, text=text):
            await settled(app, pilot)
            assert app.current_mode == ("advise" if '"screen": "advise"' in text else "home")

        play(space, script)


def test_a_broken_skill_is_named_with_its_line_and_read_again_when_it_is_mended(small):
    path = small.skill("b-skill", text="---\nname: b-skill\ndescription: [\n---\n")

    async def script(app, pilot):
        await settled(app, pilot)
        assert "1 problem" in notes(app) and app.screen.advice.target == "sw-KE"
        shutil.rmtree(path.parent)
        await press(app, pilot, "ctrl+r")
        assert app.screen.advice.target == "sw-KE" and not app.screen.knowledge.problems

    play(small.load_space(), script, screen="advise", what=("sw-KE",))


def test_a_workspace_that_disappears_is_a_note(small):
    async def script(app, pilot):
        await settled(app, pilot)
        shutil.rmtree(small.root)
        await press(app, pilot, "ctrl+r")
        assert "the workspace has no skills" in notes(app)
        app._look_at_runs()
        await settled(app, pilot)
        assert app.is_running

    play(small.load_space(), script, screen="advise", what=("sw-KE",))


async def answered(app, pilot) -> None:
    """Wait for the answer to the question that the screen began with, and until it is drawn."""
    await until(app, pilot, lambda: app.screen.advice is not None and "P(gain" in text_of(app))
    await settled(app, pilot)


@pytest.mark.slow
def test_a_terminal_may_become_tiny_and_large_again(small):
    async def script(app, pilot):
        await answered(app, pilot)
        before = text_of(app)
        for size in ((20, 5), (1, 1), (300, 80), (80, 24)):
            await pilot.resize_terminal(*size)
            await settled(app, pilot)
        assert text_of(app) == before

    play(small.load_space(), script, screen="advise", what=("sw-KE",))


def test_without_colour_the_screen_says_the_same(small, monkeypatch):
    shown = {}

    async def script(app, pilot):
        await answered(app, pilot)
        shown[app.no_color] = text_of(app)
        if app.no_color:
            strips = app.screen._compositor.render_strips()
            assert strips and "[1 advise]" in shown[True]

    play(small.load_space(), script, screen="advise", what=("sw-KE",))
    monkeypatch.setenv("NO_COLOR", "1")
    play(small.load_space(), script, screen="advise", what=("sw-KE",))

    assert shown[True] == shown[False]


def made_run(space, target="sw-KE"):
    wanted = run_config.from_table(
        {
            "task": "home",
            "base": "e5-small",
            "target": target,
            "method": "average",
            "sources": ["de-DE", "en-US"],
        }
    )
    return runs.create(space, wanted)


def test_the_end_of_a_run_is_told(small):
    space = small.load_space()

    async def script(app, pilot):
        app._look_at_runs()
        await settled(app, pilot)
        run = made_run(space)
        app.follow_run(run.id)
        runs.Events(run.folder).add("failed", error="no data")
        app._look_at_runs()
        await settled(app, pilot)
        assert f"{run.id} is failed." in notes(app)

    play(space, script, screen="skills")


def test_a_run_that_others_start_is_followed_and_told_once(small):
    space = small.load_space()
    watch = EndWatch(space)
    assert watch.ended() == []
    run = made_run(space)
    watch.again = 0
    assert watch.ended() == [] and run.id in watch.live
    runs.Events(run.folder).add("finished", seconds=1.0)
    assert watch.ended() == [(run.id, "finished")]
    watch.latest = 0
    assert watch.ended() == []


def test_one_that_began_and_ended_between_two_looks_is_told(small):
    space = small.load_space()
    space.runs.mkdir()
    watch = EndWatch(space)
    os.utime(space.runs, (0, 0))  # as if the store had last changed long before the run
    watch.ended()
    run = made_run(space)
    runs.Events(run.folder).add("cancelled")
    watch.again = 0
    assert watch.ended() == [(run.id, "cancelled")]
    labels.write(run, labels.Labels(("paper",)))
    watch.latest = 0
    assert watch.ended() == []


def test_the_demo_works_on_a_copy_that_goes_away(monkeypatch):
    shown = []
    monkeypatch.setattr(
        main, "show", lambda space, *rest, **more: shown.append((space, more, space.skills.is_dir()))
    )

    main.show_demo("advise", ("sw-KE",))

    (space, more, there) = shown[0]
    assert there and more == {"demo": True, "mouse": True} and space.root != workspace.shipped().root
    assert not space.root.exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_it_draws_in_a_terminal_whose_locale_is_not_utf8(tmp_path):
    import pty
    import subprocess
    import sys

    space = shipped_copy(tmp_path / "work")
    environment = {
        **os.environ,
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "TERM": "xterm",
    }
    outer, inner = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "merginguriel_tui.main", "advise", "sw-KE", "--workspace", str(space.root)],
        stdin=inner, stdout=inner, stderr=inner, env=environment, start_new_session=True,
    )  # fmt: skip
    os.close(inner)
    seen, end = b"", time.monotonic() + 90
    while time.monotonic() < end and "◆".encode() not in seen:
        with contextlib.suppress(OSError):
            seen += os.read(outer, 65536)
    os.write(outer, b"\x11")
    with contextlib.suppress(OSError):
        while os.read(outer, 65536):
            pass
    assert child.wait(120) == 0
    os.close(outer)
    assert "◆".encode() in seen and b"Traceback" not in seen
    assert json.loads(session.path(space).read_text())["advise"]["target"] == "sw-KE"


@pytest.mark.slow
def test_a_click_on_a_row_a_link_and_a_reason_does_what_enter_does(bench):
    space, runs = furnished(bench)

    async def click(app, pilot, where, times=1):
        await pilot.click(where[0], offset=where[1], times=times)
        await settled(app, pilot)

    async def script(app, pilot):
        await settled(app, pilot)
        await click(app, pilot, ("#table", (20, 2)))
        assert app.screen.table.cursor == 1
        await click(app, pilot, ("#table", (20, 3)), times=2)
        assert type(app.screen).__name__ == "RunScreen" and app.screen.asked in runs
        await press(app, pilot, "escape")
        await click(app, pilot, ("#tabs", (text_of(app).index("3 log"), 0)))
        assert app.current_mode == "log"
        await click(app, pilot, ("#timeline", (30, 1)))
        before, page = app.screen.here, app.screen.page
        assert before == app.screen.found[0].id and page.drawn.links
        line, first, _ = page.drawn.links[0].cells[0]
        await click(app, pilot, (page, (first + 3, line)))
        assert app.screen.here != before
        app.action_go("advise", "sw-KE")
        await settled(app, pilot)
        await click(app, pilot, ("#mode", (3, 0)))
        assert type(app.screen).__name__ == "Pick"

    play(space, script, size=(120, 40), screen="runs")


def test_the_palette_finds_locales_entries_runs_and_skills(bench):
    bench.skill()
    bench.entry(row())
    space = bench.load_space()
    waiting(space, "nb-NO")

    def first(app):
        listed = app.screen.query_one("CommandList")
        return str(listed.get_option_at_index(0).prompt) if listed.option_count else ""

    async def script(app, pilot):
        found = {
            "fi": "advise",
            "Danish": "advise",
            "A test": "log",
            "merge-nb": "runs",
            "a-skill": "skills",
            "a skill": "skills",
        }
        for typed, mode in found.items():
            name = {"fi": "fi-FI", "a skill": "a-skill"}.get(typed, typed)
            await settled(app, pilot)
            await press(app, pilot, "ctrl+p")
            await until(app, pilot, lambda: app.screen.is_attached and app.screen.query("CommandInput"))
            await press(app, pilot, *("space" if letter == " " else letter for letter in typed))
            await until(app, pilot, lambda name=name: name in first(app))
            await settled(app, pilot)
            await press(app, pilot, "enter")
            await until(app, pilot, lambda mode=mode: app.current_mode == mode)
        await press(app, pilot, "ctrl+p", "f1")
        await until(app, pilot, lambda: isinstance(app.screen, HelpScreen))

    play(space, script, screen="matrix")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("screen", "field", "to"),
    [("advise", "find", "targets"), ("skills", "find", "skills"), ("log", "find", "timeline"), ("runs", "find", "table"),
     ("matrix", "find", "heat"), ("run", "logfind", "lines")],
)  # fmt: skip
def test_enter_in_a_search_moves_to_the_result_and_escape_clears_it(bench, screen, field, to):
    space, runs = furnished(bench)

    async def script(app, pilot):
        await settled(app, pilot)
        for key, left in (("enter", "da"), ("escape", "")):
            await press(app, pilot, "slash", "home", "shift+end", *"da")
            assert app.focused.id == field and app.focused.value == "da"
            await press(app, pilot, key)
            found = app.screen.query(f"#{field}")
            assert not found or found.first().value == left
            if screen == "advise" and key == "enter":  # the result is the advice
                continue
            assert app.focused.id == to

    play(
        space, script, size=(120, 40), screen="runs" if screen == "run" else screen,
        what=(runs[0],) if screen == "run" else (),
    )  # fmt: skip


@pytest.mark.parametrize("screen", ["log", "runs", "compare"])
def test_the_end_of_a_long_text_in_a_field_is_not_covered_by_a_scroll_bar(small, screen):
    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "slash", *"word" * 40, *"theend")
        assert "theend" in text_of(app)

    play(small.load_space(), script, screen=screen)
