"""YAML of runs for the small study, and waiting for what a run does."""

from __future__ import annotations

import time

import yaml

from merginguriel import workspace
from merginguriel.config import run_config as configs
from merginguriel.runs import run_store

QUICK = {"epochs": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "batch_size": 8, "bf16": False}
LONG = {**QUICK, "epochs": 3000}


def config_file(lab, name="run.yaml", **keys):
    """A run's YAML in the workspace, for the study that `lab` is; None takes a key out."""
    table = {"kind": "merge", "task": "rooms", "data": str(lab.sentences), "base": str(lab.encoder),
             "target": "sv-SE", "method": "ties", "similarity": "REAL", "k": 2, "training": QUICK}  # fmt: skip
    table = {key: value for key, value in {**table, **keys}.items() if value is not None}
    path = lab.space / name
    path.write_text(yaml.safe_dump(table), encoding="utf-8")
    return path


def made_run(lab, **keys):
    """The run of such a file, not begun."""
    return run_store.create(space_of(lab), configs.load(config_file(lab, **keys)))


def space_of(lab):
    return workspace.find(lab.space)


def only_run(lab):
    found = run_store.listed(space_of(lab))
    assert len(found) == 1
    return found[0]


def names(run):
    return [event["event"] for event in run_store.events(run)]


def steps(run):
    return [event["text"] for event in run_store.events(run) if event["event"] == "step"]


def until(true, seconds=120.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
