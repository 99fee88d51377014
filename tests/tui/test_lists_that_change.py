"""The table of runs and the matrix survive a failed look and keep their position."""

from __future__ import annotations

import json
import shutil

import pytest
from conftest import row
from looking import notes, press, settled
from pilot import play
from places import furnished
from run_screens import until, waiting


@pytest.fixture
def space(bench, space):
    bench.entry(row())
    return space


@pytest.mark.slow
@pytest.mark.parametrize("place", [50, 229])
def test_the_cursor_stays_at_its_run_when_others_are_begun(space, place):
    first = waiting(space, "sw-KE")
    for number in range(229):
        folder = space.runs / f"merge-made-{number:03d}"
        folder.mkdir()
        (folder / "config.yaml").write_bytes((first.folder / "config.yaml").read_bytes())
        time = f"2026-01-20T00:00:00.{number:03d}+00:00"
        event = {"time": time, "event": "created", "config": {"kind": "train"}}
        (folder / "events.jsonl").write_text(json.dumps(event) + "\n")

    async def script(app, pilot):
        table = app.screen.table
        await until(app, pilot, lambda: table.count == 230)
        table.cursor = place
        await until(app, pilot, lambda: table.here)
        name = table.here["id"]
        for number in range(2):
            waiting(space, "da-DK", seed=number)
            await until(app, pilot, lambda n=number: table.count == 231 + n)
            assert table.here["id"] == name and table.cursor == place + number + 1
        for _ in range(3):  # by state, by target, best first: it may stand far away
            await press(app, pilot, "s")
            assert table.here["id"] == name
        shutil.rmtree(space.runs / name)
        await until(app, pilot, lambda: table.count == 231)
        await until(app, pilot, lambda: table.here and table.here["id"] != name)

    play(space, script, screen="runs")


def test_a_look_at_the_runs_that_fails_is_told_once_and_tried_again(space, monkeypatch):
    from merginguriel.errors import MuError
    from merginguriel.runs.run_progress import Watch

    run, look, looks = waiting(space, "sw-KE"), Watch.look, []

    def failing(watch):
        looks.append(watch)
        if len(looks) < 4:
            raise MuError("the disk is away.")
        return look(watch)

    monkeypatch.setattr("merginguriel_tui.screens.runs.EVERY", 0.1)
    monkeypatch.setattr(Watch, "look", failing)

    async def script(app, pilot):
        await until(app, pilot, lambda: run.id in app.screen.standings)
        assert notes(app).count("the disk is away") == 1

    play(space, script, screen="runs")


def test_the_matrix_asks_again_after_a_file_that_could_not_be_read(bench, monkeypatch):
    space, _ = furnished(bench)
    from merginguriel_tui.screens import matrix

    real, asked = matrix.chosen, []

    def once(*about):
        asked.append(about[-1])
        if len(asked) == 1:
            raise PermissionError(13, "Permission denied", "dev.csv")
        return real(*about)

    monkeypatch.setattr(matrix, "chosen", once)

    async def script(app, pilot):
        await until(app, pilot, lambda: asked)
        await settled(app, pilot)
        assert "permission denied" in notes(app)
        await press(app, pilot, "right")
        await until(app, pilot, lambda: len(asked) > 1)
        await until(app, pilot, lambda: asked[1] in app.screen.picked)

    play(space, script, screen="matrix")
