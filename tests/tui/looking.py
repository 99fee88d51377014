"""Waiting for a screen, reading it, and pressing its keys."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from conftest import copy_knowledge
from merginguriel_tui.widgets.keybar import KeyBar
from textual import events
from textual.keys import _character_to_key
from textual.widgets import Input, TextArea
from textual.worker import WorkerCancelled

from merginguriel import workspace

SIZES = [(80, 24), (160, 50)]


async def settled(app, pilot) -> None:
    """Wait until nothing is being loaded, and what was loaded is drawn: two looks in a row."""
    quiet = 0
    while quiet < 2:
        # With a delay, a pause waits for every message; without, for a processor that is idle: here others use it.
        await pilot.pause(0.01)
        quiet += 1
        if debounced(app):
            quiet = 0
        if any(not worker.is_finished for worker in app.workers):
            quiet = 0
            with contextlib.suppress(WorkerCancelled):  # a later question replaced it
                await app.workers.wait_for_complete()


def debounced(app) -> bool:
    """Whether a short timer still runs that waits for a rest in typing or moving before it acts."""
    nodes = [app, *app.screen_stack, *app.screen.walk_children()]
    return any(
        timer._repeat == 0 and timer._interval < 1 and timer._task is not None and not timer._task.done()
        for node in nodes
        for timer in list(node._timers)
    )


async def press(app, pilot, *keys: str) -> None:
    """Press keys. What is typed into a field is waited for at its end; of any other key, what it opened or loaded is."""
    typed = field = False
    for key in keys:
        result = " " if key == "space" else key
        typed = len(result) == 1
        field = isinstance(app.focused, Input | TextArea)
        app.post_message(events.Key(_character_to_key(result) if typed else key, result if typed else None))
        await pilot.pause(0.01)
        if not (typed and field):
            await settled(app, pilot)
    if typed and field:
        await settled(app, pilot)


def text_of(app) -> str:
    """What the terminal shows, as lines of characters."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line) for line in strips)


def bar(app) -> set[str | None]:
    """Ids of the keys that the bar at the bottom shows."""
    return {item.binding.id for _, _, item, _ in app.screen.query_one(KeyBar).shown()}


def offered(app) -> dict[str | None, str]:
    """Id → key of what the bar at the bottom shows if it is wide enough."""
    active = app.screen.active_bindings.items() if app.screen.query(KeyBar) else ()
    return {
        item.binding.id: key
        for key, item in active
        if item.binding.show and item.enabled and not item.binding.system and not KeyBar.refused(item)
    }


def state(app) -> tuple[object, ...]:
    """What a key may change, but for notes and for ages, which change by themselves."""
    text = re.sub(r"\d+[smhd]\b", "", text_of(app))
    return type(app.screen), app.focused, getattr(app.focused, "link", None), app.clipboard, text


async def acted(app, pilot, before) -> bool:
    """Whether the key that was pressed did more than to show why it does nothing; clears the notes."""
    told = any(note.severity == "information" for note in app._notifications)
    app.clear_notifications()
    await settled(app, pilot)
    return told or state(app) != before


def notes(app) -> str:
    """What was told in notes, oldest first."""
    return "\n".join(str(note.message) for note in app._notifications)


def shipped_copy(root: Path, settings: str = "") -> workspace.Workspace:
    """A workspace with the frozen log and skills."""
    return workspace.find(explicit=copy_knowledge(root, settings=settings))
