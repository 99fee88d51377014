"""The screen of one run survives a failed look and metrics that are not numbers."""

from __future__ import annotations

import json

import pytest
from looking import notes, settled, text_of
from pilot import play
from run_screens import finished, until, waiting

from merginguriel.runs import run_store


@pytest.mark.slow
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e308", "9" * 400])
@pytest.mark.parametrize("name", ["accuracy", "loss"])
def test_a_metric_that_is_no_number_is_said_and_ends_nothing(space, name, value):
    run = waiting(space, "sw-KE")
    time = run_store.now()
    with (run.folder / "events.jsonl").open("a") as file:
        for said in (value, value, "0.5"):
            event = json.dumps({"time": time, "event": "metric", "name": name, "value": 0})
            file.write(event.replace('"value": 0', f'"value": {said}') + "\n")
    seen = []

    async def script(app, pilot):
        await until(app, pilot, lambda: getattr(app.screen, "facts", None) is not None)
        await settled(app, pilot)
        seen.append((app.screen.watch_of.metrics, app.screen.facts.events))

    play(space, script, size=(160, 50), screen="runs", what=(run.id,))

    ((metrics, events),) = seen
    assert [value for _, _, value in metrics] == [0.5]
    assert events.count("which cannot be plotted") == 1


@pytest.mark.slow
def test_a_look_that_failed_is_told_once_and_the_next_one_shows_the_run(space):
    run = finished(space, "sw-KE", [1, 0, 1, 1])
    result = run.folder / "result.json"
    kept = result.read_text()

    async def script(app, pilot):
        result.write_text("{")
        await until(app, pilot, lambda: "result.json" in notes(app))
        await pilot.pause(2.5)
        assert notes(app).count("result.json") == 1
        result.write_text(kept)
        await until(app, pilot, lambda: app.screen.facts is not None and "75.00%" in text_of(app))

    result.write_text("{")
    play(space, script, size=(160, 50), screen="runs", what=(run.id,))
