"""Entries written in the terminal pass the checks of `mu log add`."""

from __future__ import annotations

import subprocess

import pytest
from beside import ready
from conftest import row
from looking import settled, text_of
from merginguriel_tui.registry import create
from merginguriel_tui.screens.compose_entry import ComposeScreen
from pilot import play
from run_screens import until
from textual import events

from merginguriel.knowledge.log import acceptance, append, drafts
from merginguriel.merging.registry import parameters

PLAN = """\
---
title: "A method that nobody tried"
type: "Plan"
date: "2026-01-21"
summary: "It may help."
context: "massive/xlm-roberta-base"
---

## Expected

| target | mode | method | similarity | k | low | high |
|---|---|---|---|---|---|---|
| sw-KE | ExcTar | {method} | REAL | 3 | +1.0 pp | +2.0 pp |
"""
MARK = """\
---
title: "A bug between two commits"
type: "Observation"
date: "2026-01-21"
summary: "Its rows are in doubt."
---

## Contests

The first of K models was dropped.

- {item}
"""


@pytest.fixture
def space(bench):
    bench.skill()
    bench.entry(row())
    return bench.load_space()


def said_of(space, text):
    """What stands below the text, and the entry that it would be."""
    found = []

    async def script(app, pilot):
        await ready(app, pilot)
        app.push_screen(
            create(
                "compose", text, drafts.folder(space.log) / "aaaa1111.md", app.screen._written, filled=True
            )
        )
        await until(app, pilot, lambda: isinstance(app.screen, ComposeScreen))
        await until(app, pilot, lambda: any(sign in text_of(app) for sign in ("✓ ", "✗ ")))
        await settled(app, pilot)
        found.append((text_of(app), app.screen.entry))

    play(space, script, screen="log", size=(160, 50))
    return found[0]


def test_a_method_that_the_program_has_may_be_planned_before_any_row_names_it(space):
    screen, entry = said_of(space, PLAN.format(method="adamerging++"))
    text = PLAN.format(method="adamerging++")
    acceptance.check(space, append.check_text(space.log, text), program=parameters())  # as the command

    assert entry is not None, screen


def test_a_range_of_commits_is_looked_up_as_the_command_does(space):
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@b", "-C", str(space.root)]
    subprocess.run([*git, "init", "-q"], check=True)
    for number in range(3):
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", str(number)], check=True)
    log = subprocess.run([*git, "log", "--format=%h"], check=True, capture_output=True, text=True)
    last, _, first = log.stdout.split()
    screen, entry = said_of(space, MARK.format(item=f"commits={first}..{last}"))

    # No row of the log was measured by these commits, which is said of the commits that the range means.
    assert entry is None and "range=" in screen and "selects no row of the log" in screen


def test_keys_take_effect_in_the_order_in_which_they_are_pressed(space):
    text = PLAN.format(method="ties")

    async def script(app, pilot):
        await ready(app, pilot)
        app.push_screen(
            create(
                "compose", text, drafts.folder(space.log) / "aaaa1111.md", app.screen._written, filled=True
            )
        )
        await until(app, pilot, lambda: isinstance(app.screen, ComposeScreen) and app.screen.area.has_focus)
        app.screen.area.cursor_location = (0, 0)
        await settled(app, pilot)
        for key, character in [("down", None), ("down", None), ("end", None), ("x", "x")]:
            app.post_message(events.Key(key, character))  # as fast as a paste comes
        await settled(app, pilot)
        changed.append(app.screen.area.text.splitlines()[2])

    changed: list[str] = []
    play(space, script, screen="log")

    assert changed == [text.splitlines()[2] + "x"]
