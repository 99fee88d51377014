"""The loop by keys: advice, pilot, answer, retrospective, and the advice before and after it."""

from __future__ import annotations

import pytest
from lab_fixtures import elsewhere
from looking import press, settled, text_of
from merginguriel_tui.screens import answer
from merginguriel_tui.screens.compose_entry import ComposeScreen
from merginguriel_tui.screens.landing import LandedScreen
from merginguriel_tui.screens.ledger import LedgerScreen
from pilot import play
from run_screens import until
from textual.widgets import DataTable

from merginguriel import workspace
from merginguriel.knowledge.base import load
from merginguriel.runs import run_store


@pytest.mark.slow
@pytest.mark.lab
def test_a_pilot_is_launched_read_written_up_and_changes_the_advice_by_keys(trained):
    elsewhere(trained)
    space = workspace.find(explicit=trained.space)
    seen = {}

    async def script(app, pilot):
        await settled(app, pilot)
        seen["before"] = app.screen.advice.knowledge_hash
        await press(app, pilot, "p")
        await until(app, pilot, lambda: "^l launches the pilot" in text_of(app))
        for words in ("sv-SE advised: ", " arm ", "pieces of work", "detects", "Each round", "scored once"):
            assert words in " ".join(text_of(app).split()), words
        assert app.screen.targets[:3] == ["sv-SE", "de-DE", "en-US"]
        await press(app, pilot, "down", "space")
        await until(app, pilot, lambda: "launches 2 pilots, one after the other" in app.screen.text.plain)
        assert app.screen.command.endswith(
            "--target sv-SE --target de-DE --mode ExcTar --min-gain 1.0 --dry-run"
        )
        await press(app, pilot, "space", "ctrl+l")
        await until(app, pilot, lambda: "✓ finished" in text_of(app), seconds=300)
        (run,) = run_store.listed(space)
        sentence = answer.sentence(run_store.result(run))
        await until(app, pilot, lambda: sentence[:40] in text_of(app))
        assert "├" in text_of(app) and "●" in text_of(app)
        await press(app, pilot, "w")
        await until(app, pilot, lambda: isinstance(app.screen, ComposeScreen) and app.screen.entry)
        await press(app, pilot, "ctrl+s", "y")
        await until(app, pilot, lambda: isinstance(app.screen, LandedScreen))
        assert "expected gain: " in text_of(app) and " measured " in text_of(app)
        await press(app, pilot, "a")
        await until(app, pilot, lambda: app.current_mode == "advise" and app.screen.advice is not None)
        await until(app, pilot, lambda: app.screen.advice.knowledge_hash != seen["before"])
        await press(app, pilot, "l")
        await until(app, pilot, lambda: isinstance(app.screen, LedgerScreen) and app.screen.asked)
        assert app.screen.query_one("#ledger", DataTable).row_count == len(app.screen.asked) >= 2

    play(space, script, size=(120, 40), screen="advise", what=("sv-SE",))

    (entry,) = [one for one in load(space).entries if any(row.run for row in one.rows)]
    assert entry.type == "Retrospective"


COMPARED = {
    "difference": 3.2,
    "interval": {"low": 0.4, "high": 6.1},
    "significant": True,
    "p": 0.02,
    "p_groups": None,
}


def result(**more):
    one = {"model": "sv-SE", "value": 0.5, "comparison": {**COMPARED, **more}}
    mean = {"model": None, "value": 0.4, "comparison": {**COMPARED, "difference": 9.0}}
    return {
        "run": "merge-x", "kind": "merge", "context": "home/e5-small", "target": "da-DK", "mode": "ExcTar",
        "method": "ties", "accuracy": 0.53, "ci95": [0.5, 0.6], "n": 200, "sources": ["sv-SE"], "weights": [1.0],
        "baselines": {"source_mean": mean, "best_single_source": one},
    }  # fmt: skip


def test_the_answer_names_gain_interval_baseline_and_items():
    told = "▲ it paid: +3.2 pp, 95% +0.4 … +6.1, over sv-SE (best single source), n = 200"
    assert answer.sentence(result()) == told and len(told) < 80
    assert answer.sentence(result(significant=False)).startswith("≈ not shown to pay: +3.2 pp")
    assert answer.sentence(result(difference=-3.2)).startswith("▼ it cost: ")


def test_agreement_without_labels_is_no_answer():
    assert answer.sentence(result() | {"labels": False}) == ""


def test_each_baseline_has_an_interval_on_one_scale():
    drawn = answer.lines(result(), 78)
    assert sum("●" in line for line in drawn) == 2 and all(len(line) <= 78 for line in drawn[:4])
    assert all(len(line) <= 58 for line in answer.lines(result(), 58)[:4])


def test_a_narrow_preview_has_the_gains_on_a_line_each():
    drawn = answer.brief(result())
    assert "best single source  sv-SE  +3.2 ▲" in drawn and all(len(line) <= 37 for line in drawn)
    assert drawn[-1] == "sources  sv-SE 1.00"
