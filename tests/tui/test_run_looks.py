"""The screen of one run survives a failed look and metrics that are not numbers."""

from __future__ import annotations

import json

import pytest
from looking import notes, press, settled, text_of
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
def test_a_damaged_result_is_named_on_the_page_and_read_again_when_it_is_mended(space):
    run = finished(space, "sw-KE", [1, 0, 1, 1])
    result = run.folder / "result.json"
    kept = result.read_text()

    async def script(app, pilot):
        await until(app, pilot, lambda: "the result cannot be read" in text_of(app))
        result.write_text(kept)
        await press(app, pilot, "ctrl+r")
        await until(app, pilot, lambda: app.screen.facts is not None and "75.00%" in app.screen.facts.result)

    result.write_text("{")
    play(space, script, size=(160, 50), screen="runs", what=(run.id,))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_long_lines_of_the_log_are_wrapped_and_the_result_has_the_whole_width(space, size):
    run = finished(space, "sw-KE", [1, 0, 1, 1])
    words = " ".join(f"word{i}" for i in range(60))
    (run.folder / "log.txt").write_text(f"2026-01-20T10:00:00.000+00:00  {words}\n")
    run_store.Events(run.folder).add("metric", name="loss", value=0.5)
    baseline = {
        "model": "sv-SE", "value": 0.5,
        "comparison": {"difference": 3.2, "interval": {"low": 0.4, "high": 6.1}, "significant": True, "p": 0.02, "p_groups": None},
    }  # fmt: skip
    result = json.loads((run.folder / "result.json").read_text()) | {
        "baselines": {"best_single_source": baseline}
    }
    (run.folder / "result.json").write_text(json.dumps(result))

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.query("#side") and app.screen.facts)
        await settled(app, pilot)
        assert "┊ zero" in text_of(app) and not app.screen.query_one("#side").display
        head = next(line for line in text_of(app).splitlines() if "difference" in line)
        assert {"against", "95%", "p"} <= {*head.split()}
        await press(app, pilot, "right_square_bracket")
        await settled(app, pilot)
        assert app.screen.query_one("#side").display == (size[0] >= 120)
        assert all(f"word{i}" in text_of(app) for i in range(60))

    play(space, script, size=size, screen="runs", what=(run.id,))


def test_a_failure_shows_its_reason_in_full_with_the_cure(space):
    run = waiting(space, "sw-KE")
    run_store.Events(run.folder).add("started", pid=1)
    why = f"the models {' '.join(f'm{i}' for i in range(50))} have other heads.\n    Train them on the same labels."
    run_store.Events(run.folder).add("failed", error=why)

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.query("#side") and app.screen.facts)
        await settled(app, pilot)
        seen = " ".join(text_of(app).split())
        assert " ".join(why.split()) in seen
        assert "r resumes the run where it stopped; e opens a form with its settings." in seen

    play(space, script, size=(80, 24), screen="runs", what=(run.id,))


def test_follow_is_offered_only_where_a_log_grows(space):
    """Of a finished run, test_runs_screen.py says so."""
    run = waiting(space, "sw-KE")

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.query("#side") and app.screen.facts)
        await press(app, pilot, "f")
        assert "Not following the log." in notes(app) and app.screen.key_of("run.follow") == "f"
        await press(app, pilot, "right_square_bracket")
        await until(app, pilot, lambda: not app.screen.key_of("run.follow"))

    play(space, script, screen="runs", what=(run.id,))
