"""Proposals are reviewed one by one: diff and rows, accepted as by the command, or rejected."""

from __future__ import annotations

import pytest
from conftest import row
from looking import notes, press, settled, text_of
from merginguriel_tui.proposals import ProposalsScreen
from pilot import play

TARGETS = ("sw-KE", "cy-GB", "sq-AL", "vi-VN")


@pytest.fixture
def skill(bench):
    """SKILL.md of a research skill without claims, in a log with two merges on four targets each."""
    bench.entry(*(row(target, 0.56, 0.48) for target in TARGETS))
    bench.entry(
        *(row(target, 0.40, 0.48, method="ties") for target in TARGETS), entry="2026-01-21-two-00000002"
    )
    path = bench.skill()
    path.write_text(path.read_text().replace('domain: "workflow"', 'domain: "research"'))
    return path


def test_a_proposal_is_shown_with_diff_and_rows_and_accepted_or_rejected_by_a_key(bench, skill):
    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "p")
        assert isinstance(app.screen, ProposalsScreen)
        screen = app.screen
        first, *others = [one.id for one in screen.found]
        assert f"{1 + len(others)} proposals" in text_of(app) and f"+- id: {first}" in text_of(app)
        await press(app, pilot, "enter", "end")
        assert "2026-01-2" in text_of(app) and " pp" in text_of(app)
        await press(app, pilot, "escape")
        assert app.screen is screen and app.focused.id == "proposal-list"
        await press(app, pilot, "a")
        assert f"- id: {first}" in skill.with_name("claims.yaml").read_text()
        assert first not in [one.id for one in screen.found]
        left = [one.id for one in screen.found]
        await press(app, pilot, "x")
        assert [one.id for one in screen.found] == left[1:]
        assert left[0] in (bench.root / "skills" / "rejected.jsonl").read_text()
        await press(app, pilot, "escape")
        assert not isinstance(app.screen, ProposalsScreen)
        assert app.screen.knowledge.standings[first].status == "supported"

    play(bench.load_space(), script, screen="skills", size=(120, 40))
    assert 'version: "1.1.0"' in skill.read_text()


def test_decisions_are_undone_one_after_the_other_unless_the_skill_has_changed(bench, skill):
    before = skill.read_text()
    rejections = bench.root / "skills" / "rejected.jsonl"

    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "p")
        screen = app.screen
        every = [one.id for one in screen.found]
        assert ": undo" not in text_of(app)
        await press(app, pilot, "u")
        assert "Nothing was accepted or rejected here." in notes(app)
        await press(app, pilot, "a", "x")
        assert "u: undo" in text_of(app)
        await press(app, pilot, "u")
        assert not rejections.exists() and [one.id for one in screen.found] == every[1:]
        await press(app, pilot, "u")
        assert skill.read_text() == before and not skill.with_name("claims.yaml").exists()
        assert [one.id for one in screen.found] == every and ": undo" not in text_of(app)
        await press(app, pilot, "a")
        skill.write_text(skill.read_text().replace("Do it.", "Do it well."))
        await press(app, pilot, "u")
        assert "has changed since the decision" in notes(app) and "Do it well." in skill.read_text()
        assert [one.id for one in screen.found] == every[1:]

    play(bench.load_space(), script, screen="skills", size=(120, 40))
