"""The home screen names what to do next, and each line's key does it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from conftest import row
from looking import press, settled, shipped_copy, text_of
from merginguriel_tui.dialogs import Confirm
from merginguriel_tui.screens.compose_entry import ComposeScreen
from merginguriel_tui.screens.run import RunScreen
from pilot import play
from run_screens import finished, until, waiting

from merginguriel.knowledge.log import drafts
from merginguriel.runs import run_store, worker


@pytest.fixture
def space(bench, space):
    bench.entry(row())
    return space


def key_of(app, do):
    return app.screen.keys[do]


def test_runs_without_an_entry_failed_runs_drafts_and_work_are_lines_with_a_key(space):
    done = finished(space, "da-DK", [1, 0] * 20)
    queued = waiting(space, "sw-KE")
    broken = waiting(space, "fi-FI")
    run_store.Events(broken.folder).add("started", pid=1)
    run_store.Events(broken.folder).add("failed", error="no sentences of fi-FI.\n    Add some.")
    drafts.folder(space.log).mkdir(parents=True)
    (drafts.folder(space.log) / "abcd1234.md").write_text("---\ntitle: Half a thought\n---\n")

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.lines)
        await settled(app, pilot)
        shown = text_of(app)
        for text in (queued.id, f"{broken.id}  failed: no sentences", done.id, "Half a thought"):
            assert text[:50] in shown, shown
        assert all(f"[{key}]" in shown for key in app.screen.keys.values())
        await press(app, pilot, key_of(app, ("go", "runs", broken.id)))
        await until(app, pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.facts)
        await until(
            app, pilot, lambda: "no sentences of fi-FI." in text_of(app) and "Add some." in text_of(app)
        )
        await press(app, pilot, "0")
        await press(app, pilot, key_of(app, ("write", "draft", "abcd1234")))
        await until(app, pilot, lambda: isinstance(app.screen, ComposeScreen))

    play(space, script, size=(120, 40), screen="home")


def test_a_new_workspace_says_how_to_get_the_first_answer(bench):
    (bench.root / "mu.toml").write_text('context = "home/e5-small"\n')

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.lines)
        await settled(app, pilot)
        for words in ("no models yet: train 6 models, about 4 min", "[t]", "import models of yours", "[i]"):
            assert words in text_of(app)
        await press(app, pilot, "t")
        await until(app, pilot, lambda: isinstance(app.screen, Confirm))
        assert "train" in text_of(app) and "about 4 min" in text_of(app) and "0 s" not in text_of(app)

    play(bench.load_space(), script, screen="home")


def test_a_new_workspace_about_embedders_begins_with_a_study_of_their_data(bench):
    (bench.root / "mu.toml").write_text('context = "retrieval-cross-ko-en/e5-small"\n')

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.lines)
        await settled(app, pilot)
        assert "(kind compose)" in text_of(app) and "train 6 models" not in text_of(app)

    play(bench.load_space(), script, screen="home")


def test_open_plans_lead_to_their_entry_and_the_ranking_is_remembered(tmp_path):
    space = shipped_copy(tmp_path / "work", 'context = "massive/xlm-roberta-base"\n')  # has no models
    for locale in ("de-DE", "sv-SE"):
        folder = space.models / "home" / "e5-small" / locale
        folder.mkdir(parents=True)
        (folder / "training.yaml").write_text("locale: x\n")

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.ranked)
        await settled(app, pilot)
        first = app.screen.ranked[0]
        assert first.do[3] == "home/e5-small"
        assert "worth a pilot" in app.screen.copied("csv") and first.text[:20] in app.screen.copied("csv")
        saved = app.saved_state["home"]
        assert saved["hash"] == app.screen.knowledge.hash and json.dumps(saved["ranked"])
        await press(app, pilot, key_of(app, first.do))
        await until(app, pilot, lambda: app.current_mode == "advise" and app.screen.advice is not None)
        assert app.screen.advice.target == first.do[2]

    play(space, script, screen="home")


def test_no_ranking_is_remembered_before_there_are_two_models(tmp_path):
    space = shipped_copy(tmp_path / "work", 'context = "home/e5-small"\n')

    async def script(app, pilot):
        await until(app, pilot, lambda: "ranked" in app.saved_state.get("home", {}))
        assert app.saved_state["home"]["ranked"] is None
        for locale in ("de-DE", "sv-SE"):
            folder = space.models / "home" / "e5-small" / locale
            folder.mkdir(parents=True)
            (folder / "training.yaml").write_text("locale: x\n")
        await press(app, pilot, "1", "0")
        await until(app, pilot, lambda: app.screen.ranked)
        assert "  worth +" in text_of(app)

    play(space, script, screen="home")


@pytest.mark.slow
def test_a_queued_pilot_that_fails_is_a_failed_run_and_the_next_one_begins(bench):
    (bench.root / "mu.toml").write_text('context = "home/e5-small"\n')
    space = bench.load_space()
    runs = [waiting(space, target) for target in ("sw-KE", "da-DK")]
    (bench.root / "models").write_text("no folder")
    words = [sys.executable, "-m", worker.__name__, *(str(run.folder) for run in runs)]
    assert subprocess.run(words, capture_output=True, text=True).returncode == 1
    assert all(run_store.events(run)[-1]["error"] for run in runs)

    async def script(app, pilot):
        await settled(app, pilot)
        assert all(f"{run.id}  failed: " in text_of(app) for run in runs)
        await press(app, pilot, "4")
        assert text_of(app).count("✗ failed") == 2

    play(space, script, size=(120, 40))


@pytest.mark.slow
def test_the_line_of_further_open_entries_shows_the_open_ones(tmp_path):
    async def script(app, pilot):
        await until(app, pilot, lambda: ("go", "log", "open") in app.screen.keys)
        await press(app, pilot, key_of(app, ("go", "log", "open")))
        await until(app, pilot, lambda: app.current_mode == "log" and app.screen.found)
        assert {entry.id for entry in app.screen.found} == app.screen.marks.keys()

    play(shipped_copy(tmp_path), script, screen="home")


def test_models_to_import_are_found_in_a_folder_and_their_locales_guessed(bench, tmp_path):
    (bench.root / "mu.toml").write_text('context = "home/e5-small"\n')
    for name in ("base", "xlmr_sw-ke_seed42", "da-DK", "logs"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        if name != "logs":
            (tmp_path / "mine" / name / "config.json").write_text("{}")

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.lines)
        await press(app, pilot, "i", *str(tmp_path / "mi"))
        assert f"no models in {tmp_path}/mi" in app.screen.said.plain
        await press(app, pilot, "tab")
        await settled(app, pilot)
        screen = app.screen
        assert screen.value("folder") == f"{tmp_path}/mine/"
        assert [tag for tag, _ in screen.found] == ["", "da-DK", "sw-KE"]
        assert "imports 2 models" in screen.said.plain and "1 model without a locale." in screen.said.plain
        await press(app, pilot, "enter", "home", "enter", *"nb-NO", "enter")
        assert [tag for tag, _ in screen.found] == ["nb-NO", "da-DK", "sw-KE"]
        assert "nb-NO=" in screen.command and screen.command.endswith("--task home --base e5-small")
        await press(app, pilot, "enter", *"da-DK", "enter", "ctrl+l")
        assert "two models for da-DK" in screen.said.plain
        await press(app, pilot, "escape")
        assert app.screen is not screen

    play(bench.load_space(), script, screen="home")


def test_a_base_that_cannot_be_read_is_named_before_anything_is_written_or_launched(bench, tmp_path):
    (bench.root / "mu.toml").write_text('context = "home/e5-small"\n')
    (tmp_path / "da-DK").mkdir()
    (tmp_path / "da-DK" / "config.json").write_text("{}")

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.lines)
        await press(app, pilot, "i", *str(tmp_path / "da-DK"), "tab", "tab", "tab", *"./none", "ctrl+l")
        await until(app, pilot, lambda: "nothing was imported" in app.screen.said.plain)
        assert "./none: no such model folder" in app.screen.said.plain

    space = bench.load_space()
    play(space, script, screen="home")
    assert not space.models.exists() and not space.runs.exists()


@pytest.mark.slow
def test_where_the_base_is_not_available_the_packaged_one_is_proposed(bench):
    (bench.root / "mu.toml").write_text('context = "home/no-such-base"\n')

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.lines)
        await press(app, pilot, "t")
        await until(app, pilot, lambda: isinstance(app.screen, Confirm))
        assert "home/no-such-base is not available. Train home/e5-small?" in text_of(app)
        await press(app, pilot, "y")
        await until(app, pilot, lambda: "Train 6 models of home/e5-small?" in text_of(app))
        await press(app, pilot, "n")

    space = bench.load_space()
    play(space, script, screen="home")
    assert not space.runs.exists() and not space.models.exists()
