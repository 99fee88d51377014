"""Workspaces that disappear, broken files, runs that other programs write."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from looking import notes, press, settled, text_of
from merginguriel_tui import editor
from merginguriel_tui.registry import SCREENS
from pilot import play
from places import EVIL, each, furnished, ready, whats
from run_screens import finished, until, waiting

from merginguriel.errors import UsageError
from merginguriel.knowledge.log import drafts
from merginguriel.runs import run_index, run_store


def result(text):
    """Words and signs of a screen, without what a clock changes."""
    return set(re.findall(r"[^\W\d_]{3,}|[✓…†✗◆╎●*]", text))


def alike(before, now):
    """The same words, but for the few that another scroll offset hides."""
    words = [result(text) for text in (before, now)]
    return len(words[0] - words[1]) <= len(words[0]) // 8


@pytest.mark.slow
def test_every_screen_may_become_tiny_and_large_again(bench):
    space, made = furnished(bench)

    async def script(app, pilot):
        async for name in each(app, pilot, made):
            before = text_of(app)
            for size in ((20, 5), (80, 24)):
                await pilot.resize_terminal(*size)
                await settled(app, pilot)
            await until(app, pilot, lambda before=before: alike(before, text_of(app)))
            assert app.is_running, name

    play(space, script, screen="matrix")


@pytest.mark.slow
def test_a_workspace_that_goes_away_and_comes_back_is_read_again_on_every_screen(bench):
    space, made = furnished(bench)
    away = bench.root.with_name("away")

    async def script(app, pilot):
        for name in SCREENS:
            app.action_go(name, *whats(made).get(name, ()))
            await settled(app, pilot)
            await until(app, pilot, lambda: ready(app.screen))
            before = text_of(app)
            bench.root.rename(away)
            await press(app, pilot, "ctrl+r")
            if name != "runs":  # a list without runs is no error
                await until(app, pilot, lambda: notes(app))
            assert app.is_running and name == app.screen.NAME
            if bench.root.exists():
                shutil.rmtree(bench.root)  # nothing may be written there meanwhile but what is derived
            away.rename(bench.root)
            app.clear_notifications()
            await press(app, pilot, "ctrl+r")
            await until(app, pilot, lambda before=before: alike(before, text_of(app)))

    play(space, script, screen="matrix")


def broken_yaml(path):
    path.write_text("---\nname: a-skill\ndescription: [\n---\n")


def broken_bytes(path):
    path.write_bytes(b"\x00\xff\xfe\x80")


def broken_link(path):
    """Nobody may read it, root neither."""
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.slow
@pytest.mark.parametrize("damage", [broken_yaml, broken_bytes, broken_link])
@pytest.mark.parametrize(
    "what", ["skills/a-skill/SKILL.md", "experiment_log/2026/2026-01-20-test-00000001.md"]
)
def test_a_broken_file_is_named_and_every_screen_stays(bench, damage, what):
    space, made = furnished(bench)
    path = bench.root / what
    whole = path.read_text()

    async def script(app, pilot):
        for name in ("skills", "log", "advise"):
            app.action_go(name, *whats(made).get(name, ()))
            await settled(app, pilot)
            await until(app, pilot, lambda: ready(app.screen))
            before = text_of(app)
            damage(path)
            app.clear_notifications()
            await press(app, pilot, "ctrl+r")
            await until(
                app, pilot, lambda: any(word in notes(app) for word in (path.name, "no skill")), seconds=60
            )
            path.unlink()
            path.write_text(whole)
            app.clear_notifications()
            await press(app, pilot, "ctrl+r")
            await until(app, pilot, lambda before=before: alike(before, text_of(app)))

    play(space, script, screen="matrix")


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
def test_a_run_whose_configuration_is_broken_is_shown_with_what_is_wrong(space, size):
    run = finished(space, "da-DK", [1, 0])
    (run.folder / "config.yaml").write_text("method: [\n")

    async def script(app, pilot):
        await until(app, pilot, lambda: "took" in text_of(app))
        await press(app, pilot, "a", "w")
        assert app.screen.still.run.id == run.id
        app.screen.action_pane(-2)
        await until(app, pilot, lambda: "Quote any text" in text_of(app))
        await press(app, pilot, "escape", "e")
        assert app.current_mode == "runs"

    play(space, script, screen="runs", what=(run.id,), size=size)


def test_a_run_whose_result_is_broken_blanks_neither_home_nor_its_page(space):
    run = finished(space, "da-DK", [1, 0])

    async def script(app, pilot):
        await until(app, pilot, lambda: run.id in text_of(app))
        (run.folder / "result.json").write_text('{"run": [')
        await press(app, pilot, "ctrl+r")
        await until(app, pilot, lambda: f"{run.id}  its result cannot be read" in text_of(app))
        app.action_go("runs", run.id)
        await until(app, pilot, lambda: "✗ the result cannot be read" in text_of(app))
        assert "this result is damaged" in app.screen.facts.result and "finished" in text_of(app)

    play(space, script, screen="home")


OTHERS = """
import os, shutil, sys, time
from pathlib import Path
store, mine = Path(sys.argv[1]), sys.argv[2]
model = sorted(store.glob("merge-*"))[0]
for i in range(25):
    one = store / f"merge-others-{mine}-{i:08x}"
    shutil.copytree(model, one)
    with (one / "events.jsonl").open("a") as file:
        file.write('{"time": "2026-01-20T00:00:00+00:00", "event": "step", "text": "at it"}\\n')
    if i % 3 == 0:
        shutil.rmtree(one)
    time.sleep(0.05)
"""


@pytest.mark.slow
def test_the_list_stays_right_while_others_write_the_store(bench):
    space, _ = furnished(bench)

    async def script(app, pilot):
        await settled(app, pilot)
        others = [subprocess.Popen([sys.executable, "-c", OTHERS, str(space.runs), str(n)]) for n in range(2)]
        while any(one.poll() is None for one in others):
            await press(app, pilot, "j", "ctrl+r", "s")
        assert [one.returncode for one in others] == [0, 0]
        (sorted(space.runs.glob("merge-others-0-*"))[0] / "events.jsonl").write_text(
            '{"event": "crea\x00\n[]\n7\n'
        )
        (sorted(space.runs.glob("merge-others-1-*"))[0] / "result.json").write_text('{"accuracy": 0.')
        (sorted(space.runs.glob("merge-others-1-*"))[1] / "config.yaml").write_bytes(b"\xff\xfe")
        for path in space.runs.glob("*.sqlite*"):
            path.unlink()
        await press(app, pilot, "ctrl+r")
        there = len([one for one in space.runs.iterdir() if (one / "config.yaml").is_file()])
        assert there == 3 + 2 * 16
        await until(app, pilot, lambda: app.screen.table.count == there)
        for name in sorted(one.name for one in space.runs.glob("merge-others-1-*"))[:2]:
            await press(app, pilot, "slash", *name[-8:], "enter", "enter")
            await press(app, pilot, "escape", "escape", "escape")
            assert app.screen.NAME == "runs" and app.is_running

    play(space, script, screen="runs")
    rows, count = run_index.listed(space, 100)
    assert count == len(rows) == 35


@pytest.mark.slow
def test_markup_and_escapes_of_files_are_text_on_every_screen(bench):
    space, made = furnished(bench, title=f"{EVIL} \\e[31m", skill=f"{EVIL} \x1b[31m and more.")
    named = f"merge-{EVIL.replace(' ', '-').replace('/', '')}-0badcafe"
    shutil.copytree(space.runs / made[0], space.runs / named)

    async def script(app, pilot):
        seen = {}
        async for name in each(app, pilot, made):
            seen[name] = text_of(app)
            strips = app.screen._compositor.render_strips()
            styles = [s.style for line in strips for s in line if s.style]
            assert not any("app.quit" in str(style.meta) or style.link for style in styles), name
            assert "\x1b" not in seen[name]
        app.action_go("compare", made[0], named)
        await settled(app, pilot)
        seen["compare of it"] = text_of(app)
        app.action_go("runs", named)
        await settled(app, pilot)
        await until(app, pilot, lambda: app.screen.facts)
        seen["its own screen"] = text_of(app)
        assert (
            "[red]x[/]" in seen["skills"]
            and "[@click=app.quit]y[/]" in seen["skills"]
            and "\\x1b" in seen["skills"]
        )
        assert "[red]x[/] [@click=app.quit]y[/]" in seen["log"]
        assert "merge-[red]x[]-[@click" in seen["runs"]  # the middle of a long name is cut there
        for name in ("compare of it", "its own screen"):
            assert "[red]x[]-[@click=app.quit]y[]" in seen[name], seen[name]

    play(space, script, size=(160, 50), screen="matrix")


@pytest.mark.slow
def test_themes_and_no_colour_show_the_same_words_and_signs(bench, monkeypatch):
    space, made = furnished(bench)
    (space.runs / made[0] / "log.txt").write_text("")
    run_store.Events(waiting(space, "fi-FI").folder).add("started", pid=1)  # dead
    run_store.Events(waiting(space, "et-EE").folder).add("failed", error="no data")
    found = {}

    def looked(look):
        async def script(app, pilot):
            app.theme = "textual-light" if look == "light" else "textual-dark"
            assert app.no_color == (look == "none")
            seen = found[look] = {}
            async for name in each(app, pilot, made):
                seen[name] = text_of(app)

        play(space, script, size=(120, 40), screen="matrix")

    for look in ("dark", "light"):
        looked(look)
    monkeypatch.setenv("NO_COLOR", "1")
    looked("none")
    for name, shown in found["dark"].items():
        assert result(shown) == result(found["light"][name]) == result(found["none"][name]), name
    seen = found["none"]
    for sign in ("✓ finished", "… queued", "† dead", "✗ failed"):
        assert sign in seen["runs"]
    assert re.search(r"\[ *\d+\.\d\]", seen["matrix"]) and re.search(
        r"\d[] ]?\*", seen["matrix"]
    )  # own, best
    assert "[6 matrix]" in seen["matrix"]
    assert any(word in seen["advise"] for word in (" PILOT ", " MERGE ", " NO MERGE ", " UNKNOWN "))


@pytest.mark.slow
def test_a_very_wide_terminal_is_used_by_every_screen(bench):
    space, made = furnished(bench)

    async def script(app, pilot):
        async for name in each(app, pilot, made):
            lines = text_of(app).splitlines()
            assert len(lines) == 60 and {len(line) for line in lines} == {250}, name
            assert any(line[125:].strip(" │▏▎┃") for line in lines), name

    play(space, script, size=(250, 60), screen="matrix")


def program(space, *words, **environment):
    """The real program in a pseudo-terminal: the process, and the outer end."""
    import pty

    outer, inner = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "merginguriel_tui.main", *words, "--workspace", str(space.root)],
        stdin=inner, stdout=inner, stderr=inner, start_new_session=True,
        env={**os.environ, "TERM": "xterm", **environment},
    )  # fmt: skip
    os.close(inner)
    return child, outer


def read_until(outer, true, seconds=90):
    """What it wrote, until true(all of it)."""
    import select

    seen, end = b"", time.monotonic() + seconds
    while not true(seen):
        assert time.monotonic() < end, seen[-2000:]
        if select.select([outer], [], [], 0.1)[0]:
            try:
                seen += os.read(outer, 65536)
            except OSError:
                return seen  # it has ended
    return seen


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("flag, asked", [("--mouse", True), ("--no-mouse", False)])
def test_the_mouse_is_asked_for_unless_it_is_not_wanted(bench, flag, asked):
    child, outer = program(bench.load_space(), "runs", flag)
    seen = read_until(outer, lambda seen: b"mu runs list" in seen)
    os.write(outer, b"\x11")
    read_until(outer, lambda _: child.poll() is not None)
    os.close(outer)
    assert child.wait(120) == 0
    assert (b"\x1b[?1000h" in seen) == asked


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_what_was_begun_survives_a_kill_while_one_types(bench):
    space = bench.load_space()
    child, outer = program(space, "log")
    read_until(outer, lambda seen: b"mu log list" in seen)
    os.write(outer, b"n")
    read_until(outer, lambda seen: b"Begin an entry" in seen)
    os.write(outer, b"observ\r")
    read_until(outer, lambda seen: b"mu log add --draft" in seen)
    os.write(outer, b"<!-- half a thought -->")
    read_until(outer, lambda _: list(drafts.folder(space.log).glob("[!.]*.md")))
    os.kill(child.pid, signal.SIGKILL)
    child.wait(120)
    os.close(outer)
    (kept,) = drafts.folder(space.log).glob("[!.]*.md")
    assert "<!-- half a thought -->" in kept.read_text()
    assert len(drafts.listed(space)) == 1


def test_the_terminal_comes_back_from_an_editor_that_cannot_be_started(monkeypatch, tmp_path):
    class Terminal:
        suspended = False

        @contextlib.contextmanager
        def suspend(self):
            self.suspended = True
            yield  # as in Textual, an exception in the block leaves the terminal suspended
            self.suspended = False

    monkeypatch.setenv("VISUAL", "nosuchprog")
    terminal = Terminal()
    with pytest.raises(UsageError, match="the editor 'nosuchprog' cannot be started"):
        editor.edit(terminal, tmp_path / "SKILL.md")
    assert not terminal.suspended
