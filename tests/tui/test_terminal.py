"""Does a run go on when the program that launched it is killed, and is it found again? In a real terminal."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
from run_screens import waiting

from merginguriel import workspace
from merginguriel.experiments import runs

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
]


QUICK = {"epochs": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2, "batch_size": 8, "bf16": False}


def until(screen, *words, seconds=120.0):
    """Return when all of these words are on the screen."""
    end = time.monotonic() + seconds
    while not all(word in screen() for word in words):
        assert time.monotonic() < end, screen()
        time.sleep(0.2)


@pytest.fixture
def tmux(tmp_path):
    """`tmux WORDS` on a server of its own, which ends with the test."""
    name = f"mu-{os.getpid()}"

    def call(*words):
        return subprocess.run(
            ["tmux", "-L", name, "-f", "/dev/null", *words], capture_output=True, text=True, check=True
        ).stdout

    yield call
    subprocess.run(["tmux", "-L", name, "kill-server"], capture_output=True, check=False)


def test_a_run_outlives_the_terminal_that_launched_it(lab, tmux):
    space = workspace.find(lab.space)
    study = {"task": "files", "data": str(lab.sentences), "base": str(lab.encoder), "training": QUICK}
    # What the new one is to be like.
    waiting(space, "sv-SE", method="average", candidates=["de-DE"], similarity="URIEL", k=1, **study)
    program = shlex.join([sys.executable, "-m", "merginguriel_tui.main", "--workspace", str(lab.space)])

    def screen(session="mu"):
        return tmux("capture-pane", "-p", "-t", session)

    def keys(*names):
        tmux("send-keys", "-t", "mu", *names)

    tmux("new-session", "-d", "-s", "mu", "-x", "120", "-y", "40", f"{program} runs")
    until(screen, "queued")
    keys("e")
    until(screen, "ctrl+l launches it")
    keys("Tab")
    keys("ties")
    until(screen, "merge-sv-SE-ties", "ctrl+l launches it")
    keys("C-l")
    until(screen, "▶ running")
    (run,) = [run for run in runs.listed(space) if "ties" in run.id]
    os.kill(int(tmux("display-message", "-p", "-t", "mu", "#{pane_pid}")), signal.SIGKILL)
    time.sleep(1)
    assert runs.state(run) in ("running", "finished")
    tmux("new-session", "-d", "-s", "again", "-x", "120", "-y", "40", f"{program} runs {run.id[-8:]}")
    until(lambda: screen("again"), "✓ finished", seconds=300)
    assert f"{100 * runs.result(run)['accuracy']:.2f}%" in screen("again")
    assert [e["event"] for e in runs.events(run)].count("started") == 1  # nobody began it a second time
