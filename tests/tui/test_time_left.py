"""One time left for the whole run: its stages, a bar that never goes back, and an estimate that blends history and speed."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest
from looking import text_of
from pilot import play
from run_screens import finished, until, waiting

from merginguriel.config import run_config as configs
from merginguriel.runs import run_store, time_left
from merginguriel.runs.run_progress import Watch
from merginguriel.runs.time_left import Expected, whole

MERGE = ("score", "merge", "compare")
SECONDS = {"model": 100.0, "score": 40.0, "merge": 20.0, "compare": 10.0}
TRAIN = "train {} ({} of {})".format


def test_a_run_as_fast_as_before_has_the_rest_of_what_such_runs_took_left():
    plan = Expected(MERGE, 2, SECONDS)

    found = whole([(0, TRAIN("da-DK", 1, 2)), (100, TRAIN("nb-NO", 2, 2))], 0, 150, 0.5, plan)

    assert (found.stage, found.stages) == (2, 5)
    assert found.left == pytest.approx(50 + 70) and found.share == pytest.approx(150 / 270)


def test_before_the_first_step_nothing_is_done_and_nothing_is_known():
    found = whole([], 0, 5, None, Expected(MERGE, 1, None))

    assert found.share == 0 and found.elapsed == 5 and found.left is None


def test_a_slower_run_is_expected_to_stay_slower_the_more_so_the_further_it_is():
    plan = Expected(("score",) * 10, 0, {"score": 10.0})
    early = whole([(0, "score a")], 0, 10, 0.5, plan)
    steps = [(20.0 * i, "score a") for i in range(8)]
    late = whole(steps, 0, 160, 1.0, plan)

    assert early.left is not None and late.left is not None
    assert 1.0 < early.left / 95 < 1.5 < late.left / 20 < 2.0


def test_without_earlier_runs_the_models_trained_so_far_say_how_long_the_next_take():
    steps = [(0, TRAIN("da-DK", 1, 3)), (60, TRAIN("nb-NO", 2, 3))]

    assert whole(steps, 0, 75, 0.25, Expected()).left == pytest.approx(45 + 60)
    assert whole(steps, 0, 75, 0.25, Expected(MERGE)).left is None  # nothing is known of the merge


def test_a_pilot_knows_its_rounds_and_its_confirmation_before_it_begins(space):
    rest = "chosen_by=REAL&mean=0&sd=4&price=0&ahead=0&apart=0"
    arms = [f"method=linear&similarity=REAL&k={k}&{rest}" for k in range(2, 7)]
    run = run_store.create(space, configs.from_table({"kind": "pilot", "target": "da-DK", "arms": arms}))

    plan = time_left.expected(run)

    assert plan.later == ("score", "round", "round", "round", "confirm")
    first, early = (
        [(0, "score 3 models")],
        [(0, "score 3 models"), (9, "round 1: 5 arms"), (12, "confirm linear")],
    )
    assert whole(first, 0, 5, None, plan).stages == 5
    assert whole(early, 0, 15, None, plan).stage == whole(early, 0, 15, None, plan).stages == 3


@pytest.mark.parametrize("known", [SECONDS, {}])
def test_the_bar_of_a_run_never_goes_back(space, known):
    run = waiting(space, "sw-KE")
    run_store.Events(run.folder).add("started", pid=1)
    watch = Watch(run)
    seen = []
    with run_store.claimed(run):
        for step in ("score 3 models on sw-KE", "merge de-DE, sv-SE by ties", "compare with the baselines"):
            run_store.Events(run.folder).add("step", text=step)
            for done in (1, 95, 6, 45):
                beat = {"step": step, "done": done, "total": 100, "text": "", "time": time.time()}
                (run.folder / "heartbeat").write_text(json.dumps(beat))
                watch.expected = Expected(MERGE, 0, known)
                seen.append(watch.look().whole)

    shares = [one.share for one in seen]
    assert shares == sorted(shares) and shares[-1] < 1
    assert [one.stage for one in seen] == [1] * 4 + [2] * 4 + [3] * 4 and {one.stages for one in seen} == {3}


def test_a_resumed_run_goes_on_where_the_killed_one_was(space):
    run = waiting(space, "sw-KE")
    now, events = time.time(), run.folder / "events.jsonl"
    lines = [
        ("started", 100, ""), ("step", 99, "make the base"), ("step", 90, "train de-DE (1 of 2)"), ("step", 60, "train sv-SE (2 of 2)"),
        ("started", 20, ""), ("step", 20, "train sv-SE (1 of 1)"),
    ]  # fmt: skip
    with events.open("a") as file:
        for name, ago, text in lines:
            at = datetime.fromtimestamp(now - ago, UTC).isoformat()
            file.write(json.dumps({"event": name, "time": at, "text": text, "pid": 1}) + "\n")
    watch = Watch(run)
    with run_store.claimed(run):
        watch.look()
        watch.expected = Expected(MERGE, 0, {"make the base": 9, "model": 30, **SECONDS})
        found = watch.look().whole

    # The base and one model were made before; then the second model, score, merge, compare.
    assert (found.stage, found.stages) == (3, 6)
    assert found.elapsed == pytest.approx(40 + 20, abs=3)  # the killed start was at work until its last event
    assert found.elapsed / (found.elapsed + found.left) - 0.01 < found.share < 0.4
    run_store.Events(run.folder).add("finished", seconds=50.0)
    assert run_store.worked(run_store.events(run)) == pytest.approx(40 + 50, abs=0.1)


def test_the_estimate_before_any_speed_comes_from_finished_runs_of_the_kind(space):
    run = finished(space, "da-DK", [1, 0])
    steps = [(0, "score 3 models on da-DK"), (40, "merge a, b by ties"), (60, "compare with the baselines")]
    lines = [{"event": "created", "config": run_store.events(run)[0]["config"]}]
    lines += [{"event": "step", "text": text, "time": stamp(at)} for at, text in steps]
    lines += [{"event": "finished", "time": stamp(70), "seconds": 70}]
    lines[0]["time"] = stamp(0)
    (run.folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    found = time_left.expected(waiting(space, "sw-KE"))

    assert found.seconds == {"score": 40, "merge": 20, "compare": 10} and list(found.later) == [*MERGE]


def stamp(at):
    return datetime.fromtimestamp(1_700_000_000 + at, UTC).isoformat()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
def test_a_run_says_one_time_and_a_requested_pause_and_no_curve_is_denied_while_it_trains(space, size):
    run = run_store.create(space, configs.from_table({"kind": "train", "locales": ["et-EE", "da-DK"]}))
    step = TRAIN("et-EE", 1, 2)
    run_store.Events(run.folder).add("started", pid=1)
    run_store.Events(run.folder).add("step", text=step)

    async def script(app, pilot):
        with run_store.claimed(run):
            beat = {"step": step, "done": 50, "total": 100, "text": "", "time": time.time()}
            (run.folder / "heartbeat").write_text(json.dumps(beat))
            await until(app, pilot, lambda: "stage 1 of 2" in text_of(app))
            assert text_of(app).count(" left") == 1 and "elapsed" in text_of(app)
            assert "trains nothing" not in text_of(app) and "Resume" not in text_of(app)
            app.screen.action_pane(1)
            await until(app, pilot, lambda: "no losses yet" in text_of(app))
            run_store.request(run, "pause")
            await until(app, pilot, lambda: "pause requested" in text_of(app))
            app.screen.dismiss()
            await until(app, pilot, lambda: "pausing" in text_of(app) and "stage" not in text_of(app))

    play(space, script, size=size, screen="runs", what=(run.id,))
