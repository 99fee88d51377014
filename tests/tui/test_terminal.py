"""Does a run outlive the program that launched it, and does what is written of it change the advice? In a real terminal."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
from looking import shipped_copy
from run_screens import waiting

from merginguriel import workspace
from merginguriel.knowledge.base import load
from merginguriel.runs import run_store
from merginguriel.text.advice import WORDS
from merginguriel.text.numbers import pp, signed

pytestmark = [
    pytest.mark.slow,
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


def still(screen):
    """Return when the screen has stopped changing: three looks in a row are alike."""
    seen = [screen()]
    while len(seen) < 3 or len(set(seen[-3:])) > 1:
        assert len(seen) < 400, seen[-1]
        time.sleep(0.3)
        seen.append(screen())


def card(advice):
    """What the card says of an answer: verdict, gain, and how sure."""
    low, high = advice["gain"]["ci90_pp"]
    return (
        WORDS[advice["verdict"]],
        pp(advice["gain"]["mean_pp"]),
        f"{signed(low)} … {signed(high)}",
        f"{advice['gain']['p_positive']:.2f}",
    )


@pytest.fixture
def tmux(tmp_path):
    """`tmux WORDS` on a server of its own, which ends with the test."""
    name = f"mu-{os.getpid()}"

    def call(*words, check=True):
        # An environment of ours: readline, which pytest imports, says COLUMNS and LINES to every child.
        return subprocess.run(
            ["env", "-u", "COLUMNS", "-u", "LINES", "tmux", "-L", name, "-f", "/dev/null", *words],
            capture_output=True, text=True, check=check, env=dict(os.environ),
        ).stdout  # fmt: skip

    yield call
    subprocess.run(["tmux", "-L", name, "kill-server"], capture_output=True, check=False)


def test_a_run_outlives_the_terminal_and_what_is_written_of_it_changes_the_advice(lab, tmux):
    shipped_copy(lab.space, (lab.space / "mu.toml").read_text())
    space = workspace.find(explicit=lab.space)
    study = {"task": "rooms", "data": str(lab.sentences), "base": str(lab.encoder), "training": QUICK}
    # What is to be launched: the form is filled as this one is.
    waiting(space, "sv-SE", method="average", candidates=["de-DE"], similarity="URIEL", k=1, **study)
    program = shlex.join([sys.executable, "-m", "merginguriel_tui.main", "--workspace", str(lab.space)])

    def screen(session="mu"):
        return tmux("capture-pane", "-p", "-t", session)

    def again():
        return screen("again")

    def keys(*names, session="mu"):
        tmux("send-keys", "-t", session, *names)

    def advised():
        return lab.mu("advise", "--target", "sv-SE", "--json", "--workspace", lab.space).data

    before = advised()
    tmux("new-session", "-d", "-s", "mu", "-x", "120", "-y", "40", f"{program} advise sv-SE")
    until(screen, "sv-SE  ExcTar", *card(before))
    assert not before["evidence"] or all(one["kind"] == "prior" for one in before["evidence"])
    keys("4")
    until(screen, "queued")
    keys("e")
    until(screen, "ctrl+l launches it")
    keys("C-l")
    until(screen, "▶ running")
    (run,) = [run for run in run_store.listed(space) if "average" in run.id]
    os.kill(int(tmux("display-message", "-p", "-t", "mu", "#{pane_pid}")), signal.SIGKILL)
    until(
        lambda: " ".join(tmux("list-sessions", "-F", "#{session_name}", check=False).split()) or "none",
        "none",
    )
    assert run_store.state(run) in ("running", "finished")
    tmux("new-session", "-d", "-s", "again", "-x", "120", "-y", "40", f"{program} runs {run.id[-8:]}")
    until(again, "✓ finished", seconds=300)
    assert f"{100 * run_store.result(run)['accuracy']:.2f}%" in again()
    assert [e["event"] for e in run_store.events(run)].count("started") == 1  # nobody began it a second time

    keys("3", session="again")
    until(again, "entries")
    keys("n", session="again")
    until(again, "Begin an entry from", run.id)
    keys("run", "Enter", session="again")
    until(again, "✓ valid: ", run.id)  # filled in from the run
    still(again)
    for name in ("Down", "End"):
        keys(name, session="again")
    still(again)
    keys("BSpace", session="again")  # the quote at the end of the title …
    until(again, "✗ line")
    keys("-l", ': as a trial"', session="again")
    until(again, "✓ valid: ", "as a trial")
    keys("C-s", session="again")
    until(again, "to the log?", "as a trial", "-title:", "+title:")
    keys("y", session="again")
    until(again, "[3 log]", "mu log show", "as a trial")
    (entry,) = (one.id for one in load(space).entries if any(row.run == run.id for row in one.rows))

    after = advised()
    keys("1", session="again")
    until(again, "[1 advise]", "Choose a target")  # the field has the focus
    keys("-l", "sv-SE", session="again")
    keys("Enter", session="again")
    until(again, "sv-SE  ExcTar", *card(after))
    assert not set(card(after)) <= set(card(before))
    assert any(one["ref"].startswith(entry) for one in (*after["evidence"], *after["dissent"]))
    until(again, f"{entry.rpartition('-')[0]}#r1")
    keys("C-q", session="again")
