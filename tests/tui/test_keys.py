"""Every key of the help does what it says, on every screen and what opens over it."""

from __future__ import annotations

import csv
import inspect
import os
import sys

import pytest
from keyplaces import PLACES, RESET, prepare, whole
from keyrows import ONCE, ROWS, SHARED
from looking import SIZES, acted, offered, press, settled, shipped_copy, state, text_of
from merginguriel_tui import dialogs, registry
from merginguriel_tui.registry import SCREENS
from merginguriel_tui.widgets.keybar import KeyBar
from pilot import play
from run_screens import finished, until, waiting
from textual.binding import Binding

from merginguriel import workspace

NAMES = ("da-DK", "de-DE", "fi-FI", "nb-NO", "ru-RU", "sv-SE")
WHAT = {"advise": ("fi-FI",), "skills": ("source-selection-cross-lingual",)}
# Textual tests the keys of its own widgets; MU_EVERY_KEY=1 presses them here too, which takes minutes.
EVERY = bool(os.environ.get("MU_EVERY_KEY"))
KNOWN: set[tuple[str, str]] = set()  # keys of Textual's own widgets that were pressed: one time is enough
LOCALES = ("da-DK", "nb-NO", "fi-FI", "et-EE", "cy-GB")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The shipped knowledge, with five runs that have finished, one that waits, and two matrices."""
    space = shipped_copy(tmp_path_factory.mktemp("keys") / "work", 'context = "home/e5-small"\n')
    runs = [finished(space, locale, [1, 0] * 20 + [1] * i) for i, locale in enumerate(LOCALES)]
    (runs[-1].folder / "log.txt").write_text("".join(f"10:00  line {i} {'long ' * 60}\n" for i in range(90)))
    for target in ("sw-KE", "is-IS", "hu-HU", "el-GR", "tr-TR", "it-IT"):
        waiting(space, target)  # keys that pause and cancel take one away
    space.results.mkdir()
    for split in ("test", "dev"):
        with (space.results / f"nxn-home-e5-small-{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["source", "target", "accuracy", "n"])
            every = [(i, j) for i in range(6) for j in range(6)]
            writer.writerows((NAMES[i], NAMES[j], (7 * i + 3 * j) % 10 / 10, 500) for i, j in every)
    return space, [run.id for run in runs]


def theirs(node, binding):
    """Is it a binding of Textual's own widgets?"""
    return any(
        binding.action == (one.action if isinstance(one, Binding) else one[1])
        for cls in type(node).__mro__
        if cls.__module__.startswith("textual.")
        for one in vars(cls).get("BINDINGS", ())
    )


def shown(app):
    """(node, binding, key) of every key that the help shows."""
    said = {(said, name) for inside in dialogs.key_rows(app.screen).values() for _, said, name in inside}
    return [
        (node, binding, key)
        for key, (node, binding, _, _) in app.screen.active_bindings.items()
        if (binding.tooltip or binding.description, binding.id or "") in said
        and not binding.system
        and not dialogs.is_idle(node, binding)
    ]


async def begin(app, pilot, place):
    """To the place, whatever lies over its screen or was changed on it."""
    for _ in range(2):  # on the present screen, and on the one that it goes to
        while len(app.screen_stack) > 1:
            app.pop_screen()
            await pilot.pause(0.01)
        if app.current_mode != place.screen:
            app.action_go(place.screen)
            await settled(app, pilot)
    RESET[place.screen](app.screen)
    app.clear_notifications()
    await settled(app, pilot)
    await press(app, pilot, *place.way)
    await until(app, pilot, lambda: place.there(app))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("screen", "size"), [*((screen, SIZES[0]) for screen in SCREENS), ("compare", SIZES[1])]
)
def test_every_key_that_the_help_shows_does_what_it_says(made, screen, size, monkeypatch):
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.delenv("VISUAL", raising=False)
    space, runs = made
    wrong, pressed = [], set()

    async def shown_if_it_acts(app, pilot, name, ident, before, shown):
        if shown != await acted(app, pilot, before):
            wrong.append(f"{name}: the bar shows {ident} is {shown}, and the key does otherwise")

    async def one(app, pilot, name, row, key, said, shows=False):
        place = PLACES[name]
        await begin(app, pilot, place)
        if row is None:
            prepare(app, said)
            see, right = whole, lambda before, after: before != after
        else:
            see, right, first = row
            shows = shows and bool(app.screen.query(KeyBar))
            if (
                shows and first and said != "runs.resume"
            ):  # without what makes it act, too; resuming begins a run
                before, shown = state(app), said in offered(app)
                await press(app, pilot, key)
                await shown_if_it_acts(app, pilot, name, said, before, shown)
                await begin(app, pilot, place)
            await press(app, pilot, *first) if isinstance(first, tuple) else first(app)
        await pilot.pause(0.01)
        before, whole_before, shown = see(app), state(app), said in offered(app)
        await press(app, pilot, key)
        for _ in range(1200):  # a minute; a key takes milliseconds
            if right(before, after := see(app)):
                if shows and row is not None:
                    await shown_if_it_acts(app, pilot, name, said, whole_before, shown)
                return
            await pilot.pause(0.05)
        wrong.append(f"{name}: {key} ({said}): {before!r} → {after!r}")

    async def script(app, pilot):
        app.action_go(screen, *(WHAT.get(screen, ()) or (runs if screen == "compare" else ())))
        await settled(app, pilot)
        for name, place in PLACES.items():
            if place.screen != screen:
                continue
            await begin(app, pilot, place)
            for node, binding, key in shown(app):
                said = binding.id or binding.description
                row = ROWS[name].get(said) or SHARED.get(said)
                if place.way and said not in ROWS[name] and (said in SHARED or said in ROWS[screen]):
                    continue  # pressed on the screen itself
                if row is None and said in ONCE:
                    if screen != "compare":
                        continue
                    row = ONCE[said]
                if row is None and not theirs(node, binding):
                    wrong.append(f"{name}: {key} ({said}) has no row in keyrows.py")
                    continue
                if row is None and said in ("Scroll Left", "Scroll Right", "Page Left", "Page Right"):
                    continue  # moves what is too wide, which at this size it may not be
                if row is None and not EVERY:
                    continue
                if row is None and (type(node).__name__, said) in KNOWN:
                    continue  # Textual's own, pressed elsewhere
                KNOWN.add((type(node).__name__, said))
                pressed.add((name, said))
                if said != "quit":
                    await one(app, pilot, name, row, key, said, binding.show)
            missing = ROWS[name].keys() - {said for at, said in pressed if at == name}
            wrong.extend(f"{name}: the help does not show {said}" for said in sorted(missing))
        if screen == "compare":
            await one(app, pilot, "compare", ONCE["quit"], "q" if size == SIZES[0] else "ctrl+q", "quit")

    play(space, script, size=size, screen="home")
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_in_an_empty_workspace_the_bar_shows_only_keys_that_act(tmp_path):
    workspace.seed(tmp_path, empty=True)
    idle = []

    async def script(app, pilot):
        async def to(name):
            while len(app.screen_stack) > 1:
                app.pop_screen()
                await pilot.pause(0.01)
            app.action_go(name)
            await settled(app, pilot)
            app.clear_notifications()
            app.set_focus(None)
            await settled(app, pilot)

        for name in SCREENS:
            await to(name)
            for ident, key in offered(app).items():
                before = state(app)
                await press(app, pilot, key)
                if await acted(app, pilot, before):
                    await to(name)
                else:
                    idle.append(f"{name}: {key} ({ident})")

    play(workspace.find(explicit=tmp_path), script)
    assert not idle


@pytest.mark.slow
def test_the_help_shows_all_of_it_and_scrolls_by_key(made):
    async def script(app, pilot):
        await settled(app, pilot)
        rows = dialogs.key_rows(app.screen)
        await press(app, pilot, "question_mark")
        await until(app, pilot, lambda: "id in mu.toml" in text_of(app))
        box, seen = app.screen.query_one("#help"), text_of(app)
        while not box.is_vertical_scroll_end:
            await press(app, pilot, "j")
            seen += text_of(app)
        for inside in rows.values():
            for _, said, name in inside:
                assert name in seen and all(word in seen for word in said.split())

    play(made[0], script, screen="matrix")


def test_digits_lead_on_from_the_search_field_that_asks_for_a_target(bench):
    async def script(app, pilot):
        await press(app, pilot, "1")
        assert app.focused.id == "find"
        await press(app, pilot, "4")
        assert app.current_mode == "runs"
        await press(app, pilot, "1", *"es4")
        assert app.focused.value == "es4"

    play(bench.load_space(), script, screen="home")


def test_every_binding_of_ours_has_words_and_an_id():
    registry.binding_ids()
    bare = [
        f"{cls.__name__}: {binding}"
        for name, module in sorted(sys.modules.items()) if name.startswith("merginguriel_tui")
        for _, cls in inspect.getmembers(module, inspect.isclass) if cls.__module__ == name
        for binding in vars(cls).get("BINDINGS", ())
        if not (isinstance(binding, Binding) and binding.description and binding.id)
    ]  # fmt: skip
    assert not bare
