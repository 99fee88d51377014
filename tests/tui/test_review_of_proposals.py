"""Proposals are reviewed one by one: diff and rows, accepted as by the command, or rejected."""

from __future__ import annotations

from conftest import row
from looking import press, settled, text_of
from merginguriel_tui.proposals import ProposalsScreen
from pilot import play

TARGETS = ("sw-KE", "cy-GB", "sq-AL", "vi-VN")


def test_a_proposal_is_shown_with_diff_and_rows_and_accepted_or_rejected_by_a_key(bench, tmp_path):
    bench.entry(*(row(target, 0.56, 0.48) for target in TARGETS))
    bench.entry(
        *(row(target, 0.40, 0.48, method="ties") for target in TARGETS), entry="2026-01-21-two-00000002"
    )
    path = bench.skill()
    path.write_text(path.read_text().replace('domain: "workflow"', 'domain: "research"'))

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
        assert f"- id: {first}" in path.with_name("claims.yaml").read_text()
        assert first not in [one.id for one in screen.found]
        left = [one.id for one in screen.found]
        await press(app, pilot, "x")
        assert [one.id for one in screen.found] == left[1:]
        assert left[0] in (bench.root / "skills" / "rejected.jsonl").read_text()
        await press(app, pilot, "escape")
        assert not isinstance(app.screen, ProposalsScreen)
        assert app.screen.knowledge.standings[first].status == "supported"

    play(bench.load_space(), script, screen="skills", size=(120, 40))
    assert 'version: "1.1.0"' in path.read_text()
