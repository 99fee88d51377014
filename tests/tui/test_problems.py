"""Problems of files: each screen answers from the rest and counts them; `!` lists them, each at its line."""

from __future__ import annotations

import os

import pytest
from conftest import row
from looking import notes, press, settled, text_of
from merginguriel_tui import editor
from merginguriel_tui.problems import ProblemsScreen
from pilot import play

BROKEN = (
    '---\nname: other\ndescription: "How to test."\nallowed-tools: [Bash, Read]\n---\n\nText of the body.\n'
)


@pytest.fixture
def broken(bench):
    bench.entry(row())
    bench.skill("other", text=BROKEN)
    (bench.root / "experiment_log" / "2026" / "copy of x.md").write_text("Text.\n")
    os.mkfifo(bench.root / "experiment_log" / "2026" / "2026-01-21-other-00000002.md")
    return bench


@pytest.mark.parametrize("screen", ["advise", "skills", "log"])
def test_a_screen_answers_from_the_rest_and_counts_the_problems(broken, screen):
    async def script(app, pilot):
        await settled(app, pilot)
        assert "3 problems in the files of this workspace; press ! for the list" in notes(app)
        shown = {"advise": "sw-KE", "skills": "other", "log": "A test"}[screen]
        assert shown in text_of(app)

    play(broken.load_space(), script, screen=screen, size=(120, 40))


def test_the_list_shows_each_problem_with_its_file_at_the_line(broken):
    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "!")
        assert isinstance(app.screen, ProblemsScreen)
        assert "3 problems" in text_of(app) and "copy of x.md" in text_of(app)
        assert "skills/other/SKILL.md:4" in text_of(app)
        await press(app, pilot, "down")
        assert "allowed-tools: [Bash, Read]" in text_of(app)
        await press(app, pilot, "escape")
        assert not isinstance(app.screen, ProblemsScreen)

    play(broken.load_space(), script, screen="skills", size=(120, 40))


def test_a_problem_opens_in_the_editor_at_its_line(broken, monkeypatch):
    async def script(app, pilot):
        await settled(app, pilot)
        opened = []
        monkeypatch.setattr(editor, "edit", lambda app, path, line=1: opened.append((path.name, line)))
        await press(app, pilot, "!")
        await press(app, pilot, "down", "e")
        assert opened == [("SKILL.md", 4)]

    play(broken.load_space(), script, screen="skills", size=(120, 40))
