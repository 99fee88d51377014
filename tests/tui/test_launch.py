"""The launch form says what `mu run` says, and starts a process of its own."""

from __future__ import annotations

import shlex
import threading

import pytest
from looking import bar, notes
from merginguriel_tui.screens.launch import LaunchScreen
from merginguriel_tui.screens.run import RunScreen
from pilot import play
from run_screens import press, settled, shown, until, waiting
from textual.widgets import Input

from merginguriel.config.schema import KEYS
from merginguriel.runs import run_store, worker


@pytest.mark.slow
def test_the_form_has_every_key_and_says_at_once_what_cannot_stand(space, mu):
    seen = {}

    async def script(app, pilot):
        await press(app, pilot, "n")
        form = app.screen
        assert set(form.fields) == set(KEYS)
        await until(app, pilot, lambda: form.checked)
        assert not bar(app) & {"launch.go", "launch.save"}
        await press(app, pilot, *"da-DK", "tab", *"tiess")
        await until(app, pilot, lambda: "Did you mean ties" in shown(app))
        await press(app, pilot, "backspace")
        form.set_focus(form.query_one("#key-k"))
        await press(app, pilot, *"two")
        assert "must be a whole number" in shown(app)
        await press(app, pilot, "backspace", "backspace", "backspace", "2")
        assert not form.query_one("#key-k-doc").has_class("wrong")
        form.set_focus(form.query_one("#key-params"))
        await press(app, pilot, *"density=0.3")
        form.set_focus(form.query_one("#key-sources"))
        await press(app, pilot, *"de-DE", "space", *"sv-SE")
        form.query_one("#key-k").value = ""
        await until(app, pilot, lambda: form.checked and form.checked.config)
        await settled(app, pilot)
        assert "launch.go" in bar(app)
        seen.update(command=form.command, run=form.checked.run, text=form.copied("text"))

    play(space, script, screen="runs")
    assert "--set params.density=0.3" in seen["command"] and seen["command"].endswith("--dry-run")
    printed = mu(*shlex.split(seen["command"])[1:], "--workspace", space.root).out
    assert printed.splitlines()[0] == f"{seen['run']}  new" and printed.startswith(
        seen["text"].partition("\n\n")[0][:40]
    )
    for line in printed.partition("\n\n")[0].splitlines():
        assert line in seen["text"]


@pytest.mark.slow
def test_a_run_like_another_differs_in_what_was_changed_alone(space, mu, monkeypatch):
    like = waiting(space, "da-DK", params={"density": 0.3})
    seen = {}

    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "e")
        form = app.screen
        await until(app, pilot, lambda: form.checked is not None)
        assert form.checked.run == like.id and form.checked.state == "queued"
        form.query_one("#key-params").value = ""
        await until(app, pilot, lambda: form.checked.run != like.id)
        await press(app, pilot, "ctrl+s")
        seen.update(command=form.command, run=form.checked.run)
        await press(app, pilot, "escape")
        assert app.screen.table.has_focus

    play(space, script, screen="runs")
    assert seen["command"] == f"mu run runs/{like.id}/config.yaml --set params.density= --dry-run"
    monkeypatch.chdir(space.root)
    assert mu(*shlex.split(seen["command"])[1:]).out.startswith(seen["run"])
    saved = mu("run", f"{seen['run']}.yaml", "--dry-run", "--json").json
    assert saved["run"] == seen["run"]


@pytest.mark.slow
@pytest.mark.lab
def test_what_was_shown_is_launched_as_a_process_and_its_failure_is_shown(space, tmp_path):
    for name in ("config.json", "model.safetensors"):  # enough for a plan, and no model
        (tmp_path / "base").mkdir(exist_ok=True)
        (tmp_path / "base" / name).write_text("{}")
    waiting(space, "da-DK", task="rooms", data=str(tmp_path / "gone"), base=str(tmp_path / "base"))

    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "e")
        form = app.screen
        await press(app, pilot, "ctrl+l")  # too early: nothing was shown yet, or what was is launched
        await until(app, pilot, lambda: form.checked is not None)
        if app.screen is form:
            await settled(app, pilot)
            await press(app, pilot, "ctrl+l")
        await until(app, pilot, lambda: "✗ failed" in shown(app), seconds=120)

    play(space, script, size=(160, 50), screen="runs")
    (run,) = run_store.listed(space)
    assert run_store.state(run) == "failed"
    started = next(event for event in run_store.events(run) if event["event"] == "started")
    assert started["pid"] > 0 and not run_store.held(run)


@pytest.mark.slow
def test_what_cannot_be_run_is_not_launched(space):
    async def script(app, pilot):
        await press(app, pilot, "n")
        await until(app, pilot, lambda: app.screen.checked is not None)
        assert "needs the key 'target'" in shown(app)
        await press(app, pilot, "ctrl+l", "ctrl+s")
        assert not run_store.listed(space) and not list(space.root.glob("*.yaml"))

    play(space, script, screen="runs")


async def form_like(app, pilot, run):
    await until(app, pilot, lambda: app.screen.table.count)
    app.push_screen(LaunchScreen(run.id))
    await until(app, pilot, lambda: getattr(app.screen, "checked", None))
    await settled(app, pilot)
    return app.screen


@pytest.mark.slow
def test_a_run_that_is_launched_while_one_is_elsewhere_changes_nothing_there(space, monkeypatch):
    run, go = waiting(space, "sw-KE"), threading.Event()
    monkeypatch.setattr(worker, "start", lambda run: go.wait(120))

    async def script(app, pilot):
        form = await form_like(app, pilot, run)
        await pilot.press("ctrl+l")
        app.action_go("skills")
        await until(app, pilot, lambda: app.current_mode == "skills")
        go.set()
        await until(app, pilot, lambda: f"launched: {run.id}" in notes(app))
        assert app.current_mode == "skills" and len(app.screen_stack) == 1
        app.action_go("runs")
        assert app.screen is form
        await press(app, pilot, "ctrl+l")
        assert isinstance(app.screen, RunScreen)

    play(space, script, screen="runs")


@pytest.mark.slow
def test_saving_keeps_a_file_that_somebody_else_wrote(space):
    run = waiting(space, "sw-KE")

    async def script(app, pilot):
        form = await form_like(app, pilot, run)
        file = space.root / f"{form.checked.run}.yaml"
        file.write_text("# my own notes\nkind: merge\n")
        await press(app, pilot, "ctrl+s")
        assert "my own notes" in file.read_text() and "already there" in notes(app)
        file.unlink()
        await press(app, pilot, "ctrl+s", "ctrl+s")  # the same again is no clash
        assert "kind: merge" in file.read_text() and notes(app).count("saved: ") == 2

    play(space, script, screen="runs")


@pytest.mark.slow
def test_what_is_saved_is_what_was_shown(space):
    run = waiting(space, "sw-KE")

    async def script(app, pilot):
        form = await form_like(app, pilot, run)
        form.query_one("#key-seed", Input).value = "7"
        for _ in range(2):  # the second time it is being looked at already, and still not known
            form.action_save()
        assert not list(space.root.glob("*.yaml"))
        await until(app, pilot, lambda: "cannot be saved yet" in notes(app))
        await until(app, pilot, lambda: form.checked.run != run.id)
        await press(app, pilot, "ctrl+s")
        (file,) = space.root.glob("*.yaml")
        assert file.name == f"{form.checked.run}.yaml" and "seed: 7" in file.read_text()

    play(space, script, screen="runs")


def test_a_base_model_is_chosen_from_a_list(space):
    used = {run.config.base for run in run_store.listed(space)}

    async def script(app, pilot):
        await press(app, pilot, "n")
        app.screen.query_one("#key-base").focus()
        await press(app, pilot, "f2")
        assert used | {"e5-small"} <= set(app.screen.options)
        await press(app, pilot, *"e5-sm", "enter")
        assert app.focused.value == "e5-small"

    play(space, script, screen="runs")
