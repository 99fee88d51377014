"""The whole loop by keys in a real terminal, from a workspace without models to a change of a skill."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
from lab_fixtures import LOCALES, elsewhere
from merginguriel_tui.screens import answer

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


def test_the_loop_is_closed_by_keys_though_the_program_is_killed(lab, made, tmux):
    elsewhere(lab)
    space = workspace.find(explicit=lab.space)
    claims = space.skills / "merging-when-constructive" / "claims.yaml"
    program = shlex.join([sys.executable, "-m", "merginguriel_tui.main", "--workspace", str(space.root)])

    def screen(session="mu"):
        return tmux("capture-pane", "-p", "-t", session)

    def again():
        return screen("again")

    def keys(*names, session="mu"):
        tmux("send-keys", "-t", session, *names)

    def advised():
        return lab.mu("advise", "--target", "sv-SE", "--json", "--workspace", space.root).data

    tmux("new-session", "-d", "-s", "mu", "-x", "120", "-y", "40", f"{program} home")
    until(screen, "[0 home]", "no models yet", "[i]")
    keys("i")
    until(screen, "mu models add ", "Name a folder")
    keys("-l", str(made / "models" / "rooms" / lab.encoder.name))
    until(screen, "imports 3 models", "2 models without a locale", *(f"\n{locale} " for locale in LOCALES))
    for name in ("Enter", "BTab"):  # to the models, and back to the base, whose text is selected
        keys(name)
        still(screen)
    keys("-l", str(lab.encoder))
    for name in ("Enter", "End", "Enter"):
        keys(name)
        still(screen)
    until(screen, "(leave out)")
    keys("-l", "leave")
    keys("Enter")
    until(screen, "imports 2 models", "3 models without a locale")
    keys("C-l")
    until(screen, "imported into rooms/tiny-bert: de-DE, en-US", "rooms/tiny-bert  2 models")

    def form(kind):
        keys("4")
        until(screen, "[4 runs]")
        keys("n")
        until(screen, "cannot run yet", " target: ")  # the field that has the focus is described
        keys("BTab")
        until(screen, " kind: ")
        keys("Enter")
        until(screen, "Dismiss menu")
        keys("-l", kind)
        still(screen)
        keys("Enter")

    form("tr")
    keys("Tab")
    until(screen, " locales: ")
    keys("-l", "sv-SE")
    until(screen, "train-", "^l launches it")
    keys("C-l")
    until(screen, "✓ finished")
    keys("Escape")
    still(screen)
    form("n")
    until(screen, "nxn-rooms-", "^l launches it")
    keys("C-l")
    until(screen, "nxn-rooms-", "✓ finished")
    keys("6")
    until(screen, "[6 matrix]", "rooms/tiny-bert", *(f"\n{locale} " for locale in LOCALES))
    before = advised()
    keys("1")
    until(screen, "[1 advise]", "Choose a target")  # the field has the focus
    keys("-l", "sv-SE")
    keys("Enter")
    until(screen, "sv-SE  ExcTar", *card(before))
    keys("p")
    until(screen, "sv-SE  advised: ", "pieces of work", "^l launches the pilot")
    keys("C-l")
    until(screen, "pilot-sv-SE-", "▶ running")
    (run,) = (run for run in run_store.listed(space) if run.config.kind == "pilot")
    os.kill(int(tmux("display-message", "-p", "-t", "mu", "#{pane_pid}")), signal.SIGKILL)
    while "mu" in tmux("list-sessions", "-F", "#{session_name}", check=False).split():
        time.sleep(0.2)
    assert run_store.state(run) in ("running", "finished")

    tmux("new-session", "-d", "-s", "again", "-x", "120", "-y", "40", f"{program} runs {run.id[-8:]}")
    until(again, "✓ finished", seconds=300)
    until(again, answer.sentence(run_store.result(run))[:60])
    assert [e["event"] for e in run_store.events(run)].count("started") == 1  # nobody began it a second time
    keys("w", session="again")
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
    until(again, "In the log: ", "expected gain: ", " measured ")
    (entry,) = (one.id for one in load(space).entries if any(row.run == run.id for row in one.rows))

    after = advised()
    keys("a", session="again")
    until(again, "[1 advise]", "sv-SE  ExcTar", *card(after))
    assert not set(card(after)) <= set(card(before))
    assert any(one["ref"].startswith(entry) for one in (*after["evidence"], *after["dissent"]))
    keys("l", session="again")
    until(again, "asked", "measured afterwards")
    keys("Escape", session="again")
    until(again, *card(after))
    keys("2", session="again")
    until(again, "[2 skills]", claims.parent.name)
    keys("p", session="again")
    until(again, " proposal", "accept", f"{claims.parent.name}: In rooms/tiny-bert, ")
    keys("a", session="again")
    until(claims.read_text, 'context: "rooms/tiny-bert"')
    keys("Escape", session="again")
    still(again)
    keys("C-q", session="again")
