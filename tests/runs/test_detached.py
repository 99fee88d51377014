"""Runs in processes of their own: requests, kills, resuming."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from run_files import LONG, config_file, made_run, names, only_run, steps, until

from merginguriel.errors import UsageError
from merginguriel.runs import run_store, worker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.lab,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and locks as POSIX has them"),
]


def run_mu(*arguments):
    """`mu` in a process that ends, as in a terminal that is closed after it."""
    words = [sys.executable, "-m", "merginguriel.cli.main", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)


def test_a_run_that_the_system_kills_is_dead_and_goes_on_without_doing_a_step_twice(lab):
    path = config_file(lab, candidates=["de-DE", "en-US"])
    run_mu("run", path, "--detach", "--workspace", lab.space)
    run = only_run(lab)
    assert run_store.state(run) == "running"
    until(lambda: any(text.startswith("train en-US") for text in steps(run)))
    started = next(e for e in run_store.events(run) if e["event"] == "started")
    assert os.getsid(started["pid"]) == started["pid"]  # a session of its own: no terminal can hang it up
    os.kill(started["pid"], signal.SIGKILL)
    until(lambda: run_store.state(run) == "dead")
    listed = lab.mu("runs", "list", "--workspace", lab.space, "--json").data
    assert [row["state"] for row in listed] == ["dead"]
    ran = lab.mu("runs", "resume", run.id, "--workspace", lab.space)
    assert ran.code == 0 and ran.out == f"{run.id}  running\n"
    watched = lab.mu("runs", "watch", run.id, "--workspace", lab.space)
    assert watched.code == 0 and "finished" in watched.out and "is finished" in watched.err
    done = [text.partition(" (")[0] for text in steps(run)]
    assert done.count("train de-DE") == 1 and done.count("train sv-SE") == 1
    assert names(run).count("finished") == 1 and run_store.result(run)["n"] == 28
    assert lab.litter() == []


def test_a_cancelled_run_leaves_nothing_half_and_a_paused_one_gives_its_memory_back(lab):
    run = made_run(lab, training=LONG, candidates=["de-DE"], similarity="URIEL", k=1, method="average")
    pid = worker.start(run)
    until(lambda: (lab.root / ".de-DE.partial").exists())
    assert lab.mu("runs", "cancel", run.id, "--workspace", lab.space).out == f"{run.id}  asked to cancel\n"
    os.waitpid(pid, 0)
    assert run_store.state(run) == "cancelled" and lab.litter() == [] and not (lab.root / "de-DE").exists()
    pid = worker.start(run)
    assert run_store.request(run, "pause") == "running"
    with pytest.raises(run_store.MuError, match="another process executes"):
        worker.start(run)
    os.waitpid(pid, 0)
    assert run_store.state(run) == "paused" and not (lab.root / "de-DE").exists()
    shown = lab.mu("runs", "show", run.id, "--workspace", lab.space)
    assert "paused" in shown.out and f"mu runs resume {run.id}" in shown.out
    assert "train de-DE" in lab.mu("runs", "logs", run.id, "--workspace", lab.space).out


def test_a_run_that_waits_is_cancelled_and_paused_without_a_process(trained):
    run = made_run(trained, training=None)
    assert run_store.state(run) == "queued"
    assert run_store.request(run, "pause") == "paused"
    assert run_store.request(run, "resume") == "queued"
    assert run_store.request(run, "cancel") == "cancelled"
    with pytest.raises(UsageError, match="cannot pause"):
        run_store.request(run, "pause")
    assert worker.execute(run) == "finished"
    with pytest.raises(UsageError, match="is finished"):
        run_store.request(run, "cancel")


def test_a_run_of_a_queue_is_begun_after_a_signal_and_not_after_a_request_to_cancel(lab):
    run = made_run(lab, training=LONG, candidates=["de-DE"], similarity="URIEL", k=1)
    pid = worker.start(run, from_queue=True)
    until(lambda: (lab.root / ".de-DE.partial").exists())
    os.kill(pid, signal.SIGTERM)
    os.waitpid(pid, 0)
    assert run_store.state(run) == "cancelled" and run_store.events(run)[-1]["note"] == "interrupted"
    pid = worker.start(run, from_queue=True)
    run_store.request(run, "cancel")
    os.waitpid(pid, 0)
    assert run_store.state(run) == "cancelled" and "note" not in run_store.events(run)[-1]
    for begin in (worker.start, worker.execute):
        with pytest.raises(worker.Withdrawn, match="it was cancelled"):
            begin(run, from_queue=True)
    assert names(run).count("started") == 2


def test_ctrl_c_cancels_a_run_in_the_foreground_and_it_goes_on_later(lab):
    path = config_file(lab, training=LONG, candidates=["de-DE"], similarity="URIEL", k=1)
    child = lab.start("run", path, "--workspace", lab.space)
    child.wait_for(lab.root / ".de-DE.partial")
    child.send(signal.SIGINT)
    ran = child.end()
    assert ran.code == 130 and "interrupted" in ran.err and ran.out == ""
    assert run_store.state(only_run(lab)) == "cancelled" and lab.litter() == []
