"""Plans of runs: what a dry run names, and the time that earlier runs took."""

from __future__ import annotations

import pytest
from run_files import QUICK, config_file, only_run, space_of

from merginguriel.config import run_config as configs
from merginguriel.models import build_record
from merginguriel.runs import planning, resolve, run_store, time_left

pytestmark = pytest.mark.lab


def test_a_dry_run_names_what_is_there_what_is_trained_and_what_time_is_known(trained):
    path = config_file(trained, training={**QUICK, "epochs": 4}, candidates=["de-DE", "en-US"], seed=1)
    ran = trained.mu("run", path, "--dry-run", "--workspace", trained.space, "--json").data["plan"]
    took = [
        build_record.read(trained.root / name / "training.yaml")["seconds"]
        for name in ("de-DE", "en-US", "sv-SE")
    ]
    assert set(ran["train"]) == {"de-DE", "en-US", "sv-SE"} and ran["there"] == [] and ran["base"]
    # Half the epochs of those that were trained with seed 0.
    assert list(ran["train"].values()) == pytest.approx(3 * [sorted(took)[1] / 2], abs=0.051)
    assert ran["seconds"] is None and ran["work_seconds"] is None
    here = config_file(trained, training=QUICK, candidates=["de-DE", "en-US"])
    ran = trained.mu("run", here, "--dry-run", "--workspace", trained.space, "--json").data["plan"]
    assert ran["there"] == ["de-DE", "en-US", "sv-SE"] and ran["train"] == {} and ran["other"] == []
    other = config_file(trained, training={**QUICK, "epochs": 4}, candidates=["de-DE", "en-US"])
    text = trained.mu("run", other, "--dry-run", "--workspace", trained.space)
    assert "refused  de-DE en-US sv-SE" in text.out and "unknown: no run of this kind" in text.out
    assert not (trained.space / "runs").exists()


def test_after_a_run_the_next_one_is_expected_to_take_as_long(trained):
    first = config_file(trained, training=None, method="average", candidates=["de-DE", "en-US"])
    planned = planning.plan(space_of(trained), resolve.resolved(configs.load(first), space_of(trained)))
    assert trained.mu("run", first, "--workspace", trained.space).code == 0
    run = only_run(trained)
    events = run_store.events(run)
    # What was said before is what it did: models scored on dev and test, the merge, and the base.
    result = run_store.result(run)
    assert planned.scores == 2 * len(result["singles"]) + planned.merges + 1 and planned.merges == 1
    second = config_file(trained, training=None, method="ties", candidates=["de-DE", "en-US"])
    ran = trained.mu("run", second, "--dry-run", "--workspace", trained.space, "--json").data["plan"]
    ended = next(event for event in events if event["event"] == "finished")
    assert 0 < ran["seconds"] <= ended["seconds"] + 0.5 and ran["merges"] == 2
    config_file(trained, training=None, method="average", candidates=["de-DE", "en-US"])
    again = trained.mu("run", first, "--dry-run", "--workspace", trained.space).out
    assert "already finished" in again


def test_time_that_was_lost_to_a_kill_is_no_time_of_a_stage():
    def at(second, event, text=None):
        time = f"2026-01-20T10:00:{second:02d}.000+00:00"
        return {"time": time, "event": event} | ({"text": text} if text else {})

    events = [at(0, "created"), at(1, "started"), at(2, "step", "train de-DE (1 of 1)"), at(20, "step", "score"),
              at(21, "metric"), at(30, "started"), at(31, "step", "score"), at(36, "step", "merge"),
              at(40, "finished")]  # fmt: skip
    assert time_left.durations(events) == [
        ("start", 1),
        ("model", 18),
        ("start", 1),
        ("score", 5),
        ("merge", 4),
    ]
    assert time_left.durations([at(0, "created")]) == []
