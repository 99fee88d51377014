"""Is the first frame the screen itself, soon, and is nothing that is typed before it lost? Does drawing stay small?"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest
from conftest import SKILL
from looking import SIZES, press, settled, text_of
from merginguriel_tui import gc_pause
from merginguriel_tui.registry import SCREENS
from merginguriel_tui.screens import skills as skills_screen
from merginguriel_tui.widgets import page as pages
from merginguriel_tui.widgets.keybar import KeyBar
from merginguriel_tui.widgets.paged import PagedTable
from pilot import play
from run_screens import until
from textual.widgets import OptionList

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")

# Each takes a part of the time to the first paint, or a thread of its own.
HEAVY = (
    "click",
    "_hashlib",
    "json",
    "numpy",
    "yaml",
    "frontmatter",
    "rich.markdown",
    "markdown_it",
    "textual.widgets._text_area",
    "textual.widgets._markdown",
    "textual.widgets._footer",
    "merginguriel.knowledge",
    "merginguriel.decision.advice",
    "merginguriel.loop",
    "merginguriel.runs",
    "merginguriel_tui.dialogs",
    "merginguriel_tui.screens.home_data",
    "merginguriel_tui.screens.matrix",
)
# Told by the program itself before it writes its first frame.
TELL = """
import sys
from pathlib import Path
from textual.app import App
display, out = App._display, Path(sys.argv.pop())
def tell(self, screen, renderable):
    if self._running and renderable is not None and not out.exists():
        new = out.with_suffix(".new")
        new.write_text(" ".join([type(self.screen).__name__, *sorted(sys.modules)]))
        new.rename(out)
    display(self, screen, renderable)
App._display = tell
from merginguriel_tui.main import main
main()
"""


@contextlib.contextmanager
def terminal(*command, size=(120, 40)):
    """A program in a pseudo-terminal: its descriptor."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    child = subprocess.Popen(
        [sys.executable, *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield ours
    finally:
        child.kill()
        child.wait(120)
        os.close(ours)


def shown(descriptor, *words, seconds=90.0):
    """What it wrote until all of these words were there."""
    seen, end = "", time.monotonic() + seconds
    while not all(word in seen for word in words):
        assert time.monotonic() < end, seen[-3000:]
        if select.select([descriptor], [], [], 0.5)[0]:
            with contextlib.suppress(OSError):
                seen += os.read(descriptor, 65536).decode(errors="replace")
    return seen


@pytest.mark.parametrize(
    ("screen", "name"), [("home", "HomeScreen"), ("advise", "AdviseScreen"), ("runs", "RunsScreen")]
)
def test_the_first_frame_is_the_screen_and_what_it_does_not_show_is_not_imported(bench, screen, name):
    out = bench.root / "first"
    with terminal("-c", TELL, screen, "--workspace", str(bench.root), str(out)) as descriptor:
        frame = shown(descriptor, f"{screen}]", "Palette").partition("\x1b[?1049h")[2]
    shows, *modules = out.read_text().split()

    assert shows == name  # none before it
    assert sorted(set(HEAVY) & set(modules)) == []
    assert "1 advise" in frame and ("Find" in frame) == (screen != "home")
    if screen == "advise":
        assert "Loading" in frame and "find a target" in frame and "min gain" in frame


@pytest.mark.slow
@pytest.mark.parametrize("name", SCREENS)
def test_a_screen_looks_the_same_whether_begun_with_or_gone_to(bench, name):
    seen = []

    async def regions(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "escape", str(list(SCREENS).index(name)))
        assert app.current_mode == name
        seen.append([(str(widget), widget.region) for widget in app.screen.query("#body, #body > *")])

    play(bench.load_space(), regions, screen=name)
    play(bench.load_space(), regions, screen="log" if name != "log" else "runs")
    assert seen[0] == seen[1] and len(seen[0]) > 1


def test_keys_typed_while_it_starts_are_not_lost(bench):
    with terminal("-m", "merginguriel_tui.main", "advise", "--workspace", str(bench.root)) as descriptor:
        os.write(descriptor, b"3")
        shown(descriptor, "[3 log]")


@pytest.mark.slow
def test_keys_typed_right_after_the_first_frame_are_not_lost(bench):
    with terminal("-m", "merginguriel_tui.main", "advise", "--workspace", str(bench.root)) as descriptor:
        shown(descriptor, "[1 advise]", "Palette")
        os.write(descriptor, b"4")
        shown(descriptor, "[4 runs]")


@pytest.mark.parametrize("size", SIZES)
def test_the_keys_are_on_the_last_line_and_a_click_presses_them(bench, size):
    async def script(app, pilot):
        await settled(app, pilot)
        app.set_focus(None)
        await settled(app, pilot)
        bar = app.screen.query_one(KeyBar)
        line = text_of(app).splitlines()[-1]
        for start, end, one, key in bar.shown():
            assert f"{key} {one.binding.description}" in line[start:end]
        assert line.rstrip().endswith("^p Palette") and "w What if" in line
        await pilot.click(KeyBar, offset=(line.index("w What if"), 0))
        await settled(app, pilot)
        assert app.focused.id == "mode"
        await pilot.hover(KeyBar, offset=(line.index("/ Find"), 0))
        assert bar.tooltip == "Find a target by tag or language"

    play(bench.load_space(), script, size=size, screen="advise", what=("sw-KE",))


def test_the_keys_follow_the_focus(bench):
    async def script(app, pilot):
        await settled(app, pilot)
        app.screen.query_one("#page").focus()
        await settled(app, pilot)
        assert "Follow link" in text_of(app).splitlines()[-1]
        app.screen.query_one("#skills").focus()
        await settled(app, pilot)
        assert "Follow link" not in text_of(app).splitlines()[-1]

    bench.skill(text=SKILL.format(name="a-skill").replace("Do it.", "See b-skill."))
    bench.skill("b-skill")
    play(bench.load_space(), script, size=(160, 50), screen="skills")


@pytest.mark.slow
def test_a_key_bar_without_room_shows_what_fits(bench):
    async def script(app, pilot):
        await settled(app, pilot)
        for width in (1, 8, 20, 33):
            await pilot.resize_terminal(width, 10)
            await settled(app, pilot)
            places = app.screen.query_one(KeyBar).shown()
            assert all(end <= width for _, end, _, _ in places)
            assert [end for _, end, _, _ in places[:-1]] <= [start for start, _, _, _ in places[1:]]

    play(bench.load_space(), script, screen="runs")


def rows(count):
    return [{"id": f"row {i}"} for i in range(count)]


def test_a_step_of_the_cursor_draws_two_rows(bench, monkeypatch):
    drawn = []
    line = PagedTable.render_line
    monkeypatch.setattr(PagedTable, "render_line", lambda self, y: drawn.append(y) or line(self, y))

    async def script(app, pilot):
        await settled(app, pilot)
        table = app.screen.query_one(PagedTable)
        table.focus()
        monkeypatch.setattr(app.screen, "tick", lambda: None)
        table.begin(50, [{**row, **dict.fromkeys(COLUMNS)} for row in rows(50)])
        await settled(app, pilot)
        steps = []
        for at in range(1, 6):
            drawn.clear()
            await press(app, pilot, "j")
            steps.append(sorted(set(drawn)) == [at, at + 1])
        assert any(steps)  # a whole drawing for another reason may fall into a step, not into each
        assert "›" in text_of(app).splitlines()[table.region.y + 6]
        await press(app, pilot, "G")
        assert "›" in text_of(app).splitlines()[table.region.bottom - 1] and "row 49" in text_of(app)

    play(bench.load_space(), script, screen="runs")


COLUMNS = ("state", "error", "step", "seconds", "best", "metric", "k", "similarity", "created")


def test_of_skills_passed_between_two_drawings_the_last_is_opened(bench, monkeypatch):
    for name in ("b-skill", "c-skill", "d-skill"):
        bench.skill(name)
    opened = []
    real = skills_screen.SkillsScreen.open

    def note(self, name, **more):
        opened.append(name)
        real(self, name, **more)

    async def script(app, pilot):
        await settled(app, pilot)
        screen = app.screen
        listed = screen.query_one("#skills", OptionList)
        listed.focus()
        listed.highlighted = 0
        await settled(app, pilot)
        monkeypatch.setattr(skills_screen.SkillsScreen, "open", note)
        with app.batch_update():
            for _ in range(3):
                listed.action_cursor_down()
        await settled(app, pilot)
        assert opened == [screen.listed[3]] and screen.name_ == screen.listed[3]

    play(bench.load_space(), script, screen="skills")


def test_pages_passed_while_one_is_drawn_are_not_drawn(bench, monkeypatch):
    drawn, passed = [], threading.Event()
    real = pages.draw

    def slow(text, *rest, **more):
        drawn.append(text)
        assert passed.wait(120)
        return real(text, *rest, **more)

    async def script(app, pilot):
        await settled(app, pilot)
        page = app.screen.query_one("#page", pages.MarkdownPage)
        monkeypatch.setattr(pages, "draw", slow)
        for number in range(20):
            page.read(f"page {number}", {})
            await pilot.pause(0.005)
        passed.set()
        await until(app, pilot, lambda: "page 19" in text_of(app))
        assert drawn[-1] == "page 19" and len(drawn) < 20 and "page 19" in text_of(app)

    play(bench.load_space(), script, screen="skills")


@pytest.fixture
def collector():
    """Leaves Python's collector as it was."""
    before = gc.get_threshold()
    yield
    gc.enable()
    gc.unfreeze()
    gc.set_threshold(*before)


def test_after_the_first_frame_garbage_is_looked_for_again(bench, collector):
    gc_pause.wait()
    assert not gc.isenabled()

    async def script(app, pilot):
        await settled(app, pilot)
        assert gc.isenabled() and gc.get_threshold() == (gc_pause.YOUNG, gc_pause.MIDDLE, gc_pause.OLD)

    play(bench.load_space(), script, screen="runs")


def test_all_garbage_is_looked_for_when_it_is_quiet_and_not_before(collector, monkeypatch):
    gc.freeze()  # what other tests left behind is not looked through
    now = [1000.0]
    monkeypatch.setattr(gc_pause.time, "monotonic", lambda: now[0])
    looked = []
    gc.callbacks.append(note := lambda phase, info: looked.append(info["generation"]))
    try:
        gc.set_threshold(10, 1, 1_000_000)
        tidy = gc_pause.Tidy()
        made = [[] for _ in range(1000)]
        assert gc.get_count()[2] and not tidy.look()
        now[0] += gc_pause.AGAIN
        tidy.touch()
        assert not tidy.look() and 2 not in looked
        now[0] += gc_pause.QUIET
        assert tidy.look() and 2 in looked and made
        assert not tidy.look()
    finally:
        gc.callbacks.remove(note)


def test_a_key_says_that_somebody_is_there(bench):
    async def script(app, pilot):
        await settled(app, pilot)
        app.tidy.touched = 0.0
        await press(app, pilot, "j")
        assert app.tidy.touched > 0

    play(bench.load_space(), script, screen="runs")
