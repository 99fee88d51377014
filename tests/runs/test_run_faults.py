"""Runs that are killed at any moment, on full disks, or started twice."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from lab_fixtures import small_files
from run_files import config_file, made_run, names, only_run, space_of, steps, until

from merginguriel.config import run_config as configs
from merginguriel.runs import run_store, worker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.lab,
    pytest.mark.skipif(sys.platform != "linux", reason="signals and limits as Linux has them"),
]
KILLS = 6


def stamps(folder):
    """Every finished file of models and predictions: its time, which a second writing would change."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            found[str(path.relative_to(folder))] = path.stat().st_mtime_ns
    return found


def reported(lab):
    """How far a run is: events that it wrote, and files of its models, finished or not."""
    events = sum(len(run_store.events(run)) for run in run_store.listed(space_of(lab)))
    return events + sum(1 for _ in (lab.space / "models").rglob("*"))


def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(lab, tmp_path):
    path = config_file(lab, candidates=["de-DE", "en-US"])
    draw = random.Random(1)
    before, killed = {}, 0
    for _ in range(KILLS):
        goal = reported(lab) + draw.randint(1, 12)
        child = lab.start("run", path, "--workspace", lab.space)
        until(lambda: reported(lab) >= goal or not child.process.is_alive())  # noqa: B023
        child.send(signal.SIGKILL)
        killed += child.end().code == -signal.SIGKILL
        now = stamps(lab.space / "models")
        assert {name: now[name] for name in before} == before  # what was whole is not made again
        before = now
    for run in run_store.listed(space_of(lab)):
        assert run_store.state(run) in ("dead", "queued", "finished")
    ran = lab.mu("run", path, "--workspace", lab.space, "--json")
    assert ran.code == 0 and killed > 1
    run = only_run(lab)
    assert names(run).count("finished") == 1 and names(run).count("created") == 1
    assert {name: stamps(lab.space / "models")[name] for name in before} == before
    assert lab.mu("runs", "gc", "--yes", "--workspace", lab.space).code == 0 and lab.litter() == []
    # The same from nothing, without a kill.
    lab.space = tmp_path / "other"
    lab.space.mkdir()
    shutil.copy(path.parent / "mu.toml", lab.space)
    again = lab.mu("run", path, "--workspace", lab.space, "--json")
    assert again.data == ran.data


@pytest.mark.parametrize("size", [400, 1300, 2500, 5000])
def test_a_disk_that_takes_no_more_is_told_and_the_run_goes_on_later(trained, size):
    path = config_file(trained, training=None)
    ran = trained.apart("run", path, "--workspace", trained.space, before=partial(small_files, size))
    assert ran.code == 1 and "cannot write" in ran.err and str(trained.space) in ran.err, ran
    for run in run_store.listed(space_of(trained)):
        assert run_store.state(run) in ("failed", "dead") and not (run.folder / "result.json").exists()
    assert trained.litter() == []
    again = trained.mu("run", path, "--workspace", trained.space, "--json")
    assert again.code == 0 and run_store.state(only_run(trained)) == "finished"
    assert all(json.loads(line) for line in lines_of(only_run(trained)) if line.endswith("}"))


def lines_of(run):
    return (run.folder / "events.jsonl").read_text().splitlines()


def test_a_full_disk_is_told_as_one_and_looking_at_runs_goes_on(small_disk):
    run = made_run(small_disk, training=None)
    filler = small_disk.space / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk.space).free))
    ran = small_disk.mu("run", small_disk.space / "run.yaml", "--workspace", small_disk.space)
    assert ran.code == 1 and "no space left" in ran.err and "Free some space" in ran.err
    listed = small_disk.mu("runs", "list", "--workspace", small_disk.space, "--json")
    assert listed.code == 0 and listed.data[0]["state"] in ("failed", "dead", "queued")
    filler.unlink()
    assert worker.execute(run) == "finished"


def test_of_two_that_start_one_run_one_does_it_and_the_other_says_who(trained):
    path = config_file(trained, training=None)
    first = trained.start("run", path, "--workspace", trained.space)
    first.until(lambda: any(steps(run) for run in run_store.listed(space_of(trained))))
    first.send(signal.SIGSTOP)
    second = trained.apart("run", path, "--workspace", trained.space)
    detached = trained.mu("run", path, "--detach", "--workspace", trained.space)
    first.send(signal.SIGCONT)
    for ran in (second, detached):
        assert ran.code == 1 and ran.out == ""
        assert f"process {first.process.pid} on" in ran.err and "mu runs watch" in ran.err
    assert first.end().code == 0
    assert names(only_run(trained)).count("started") == 1
    assert trained.mu("run", path, "--workspace", trained.space).code == 0


def test_many_that_make_the_same_run_at_once_make_it_once(bench):
    (bench.root / "mu.toml").write_text('context = "home/e5-small"\n')
    space = bench.load_space()
    config = configs.from_table({"target": "da-DK", "method": "ties", "sources": ["de-DE", "sv-SE"]})
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: run_store.create(space, config).id, range(16)))
    assert len(set(found)) == 1 and [run.id for run in run_store.listed(space)] == found[:1]
    assert names(run_store.listed(space)[0]) == ["created"] and not list(space.runs.glob(".*"))


def test_a_damaged_prediction_is_computed_again_and_the_run_says_so(trained):
    path = config_file(trained, training=None)
    first = trained.mu("run", path, "--workspace", trained.space, "--json")
    run = only_run(trained)
    for file in (trained.root / "predictions").glob("*.npz"):
        file.write_bytes(file.read_bytes()[:100])
    run_store.Events(run.folder).add("reopened")
    second = trained.mu("run", path, "--workspace", trained.space, "--json")
    assert second.data == first.data
    notes = [event["text"] for event in run_store.events(run) if event["event"] == "note"]
    assert any("is computed again: these predictions are damaged" in text for text in notes)
