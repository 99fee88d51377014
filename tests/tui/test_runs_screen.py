"""Does the Runs screen show what `mu runs` prints, stay live, and steer what it shows?"""

from __future__ import annotations

import json
import re
import shlex
import time
from itertools import pairwise

import pytest
from merginguriel_tui.screens import answer, runs_data
from pilot import play
from run_screens import SIZES, finished, press, settled, shown, until, waiting

from merginguriel.knowledge.claims import evidence_tree
from merginguriel.runs import archive, run_store


@pytest.fixture
def space(bench):
    """A workspace with runs as a worker leaves them: two finished, one waiting, one dead."""
    (bench.root / "mu.toml").write_text('context = "home/e5-small"\n')
    space = bench.load_space()
    finished(space, "da-DK", [1, 0] * 20)
    finished(space, "nb-NO", [1, 1, 1, 0] * 10)
    waiting(space, "sw-KE")
    run_store.Events(waiting(space, "fi-FI").folder).add("started", pid=1)
    return space


@pytest.mark.parametrize("size", SIZES)
def test_the_table_shows_what_the_command_below_prints(space, mu, size):
    seen = []

    async def script(app, pilot):
        await settled(app, pilot)
        seen.extend([app.screen.command, *shown(app).splitlines()])

    play(space, script, size=size, screen="runs")
    command, *lines = seen
    printed = mu(*shlex.split(command)[1:], "--json", "--workspace", space.root).json
    for row in printed:
        (line,) = [line for line in lines if row["id"] in line[:60]]  # the preview is right of it
        assert row["state"] in line
        assert row["best"] is None or f"{100 * row['best']:.2f}%" in line
    assert {row["state"] for row in printed} == {"finished", "queued", "dead"}


@pytest.mark.slow
def test_typing_finds_and_s_orders_as_the_command_does(space, mu):
    seen = {}

    async def script(app, pilot):
        await press(app, pilot, "slash", *"nb", "space", *"fin")
        assert app.screen.table.count == 1 and "merge-nb-NO" in shown(app) and "merge-da-DK" not in shown(app)
        for _ in range(2):
            seen[app.screen.command] = [row["id"] for row in app.screen.table.in_view()]
            await press(app, pilot, "escape", "escape", "s")
        assert list(seen) == ["mu runs list --find 'nb fin'", "mu runs list --order best"]
        await press(app, pilot, "s", "s", "s", "s")
        assert app.screen.command == "mu runs list"

    play(space, script, screen="runs")
    for command, ids in seen.items():
        printed = mu(*shlex.split(command)[1:], "--json", "--workspace", space.root).json
        assert [row["id"] for row in printed] == ids
    assert printed[0]["target"] == "nb-NO"


@pytest.mark.slow
def test_rows_far_down_are_read_when_they_come_into_view(space):
    for number in range(230):
        folder = space.runs / f"merge-made-{number:03d}"
        folder.mkdir()
        (folder / "config.yaml").write_text("kind: train\n")
        event = {
            "time": f"2026-01-20T00:00:00.{number:03d}+00:00",
            "event": "created",
            "config": {"kind": "train"},
        }
        (folder / "events.jsonl").write_text(json.dumps(event) + "\n")

    async def script(app, pilot):
        await settled(app, pilot)
        assert len(app.screen.table.pages) == 1 and app.screen.table.count == 234
        await press(app, pilot, "G")
        assert "merge-made-000" in shown(app) and app.screen.table.here["id"] == "merge-made-000"
        assert 1 * 100 not in app.screen.table.asked  # the page between was never in view
        await press(app, pilot, "g", "pagedown", "pageup", "down", "up", "j", "k")
        assert app.screen.table.cursor == 0

    play(space, script, screen="runs")


@pytest.mark.slow
def test_a_run_at_work_shows_how_far_it_is_and_one_that_is_killed_is_told_and_dead(space):
    run = waiting(space, "et-EE")
    run_store.Events(run.folder).add("started", pid=1)
    run_store.Events(run.folder).add("step", text="train et-EE (1 of 1)")

    async def script(app, pilot):
        with run_store.claimed(run):
            said = {"step": "train et-EE (1 of 1)", "done": 5, "total": 10, "text": "", "time": time.time()}
            (run.folder / "heartbeat").write_text(json.dumps(said))
            await until(app, pilot, lambda: re.search(r"▕ *[1-9]\d*%", shown(app)))
            assert "▶ running" in shown(app) and "1 running" in shown(app)
        await until(app, pilot, lambda: "▶" not in shown(app))
        (line,) = [line for line in shown(app).splitlines() if run.id[:24] in line and "†" in line]
        assert "dead" in line
        told = [f"{run.id} is dead."]
        await until(
            app, pilot, lambda: [n.message for n in app._notifications if run.id in n.message] == told
        )

    play(space, script, size=(160, 50), screen="runs")


@pytest.mark.slow
def test_cancelling_asks_first_and_pausing_does_not(space):
    async def script(app, pilot):
        run = next(run for run in run_store.listed(space) if "sw-KE" in run.id)
        await press(app, pilot, "slash", *"sw-KE", "enter")
        await press(app, pilot, "x", "n")
        assert run_store.state(run) == "queued"
        await press(app, pilot, "p")
        assert run_store.state(run) == "paused"
        await press(app, pilot, "x", "escape")
        assert run_store.state(run) == "paused"
        await press(app, pilot, "x", "y")
        assert run_store.state(run) == "cancelled"
        await until(app, pilot, lambda: "○ cancelled" in shown(app))
        assert not app.screen.check_action("steer", ("pause",))  # a cancelled run cannot be paused

    play(space, script, screen="runs")


@pytest.mark.slow
def test_marked_runs_are_copied_and_compared(space, mu):
    async def script(app, pilot):
        await press(app, pilot, "c")
        assert app.current_mode == "runs"  # nothing is marked
        await press(app, pilot, "slash", *"finished", "enter", "space", "space")
        assert not any(app.screen.check_action("steer", (what,)) for what in ("cancel", "pause", "resume"))
        assert app.screen.copied("csv").count("\n") == 3 and app.screen.copied("markdown").startswith(
            "| state"
        )
        await press(app, pilot, "c")
        assert app.current_mode == "compare" and app.screen.command.startswith("mu runs compare merge-")
        await press(app, pilot, "escape", "escape")
        assert app.current_mode == "runs" and not app.screen.table.marked

    play(space, script, screen="runs")


@pytest.mark.slow
def test_text_of_a_run_is_shown_and_not_obeyed(space):
    run = next(run for run in run_store.listed(space) if "da-DK" in run.id)
    (run.folder / "log.txt").write_text("[red]not red[/red] \x1b[31mnor this\x07\n")
    other = waiting(space, "et-EE")
    run_store.Events(other.folder).add("step", text="[b]step[/b] \x1b[2J")
    run_store.Events(other.folder).add("failed", error="[/nothing] \x1b]0;title\x07")

    async def script(app, pilot):
        await settled(app, pilot)
        assert "[/nothing] \\x1b" in shown(app)
        await press(app, pilot, "slash", *"da-DK", "enter", "enter", "right_square_bracket")
        assert "[red]not red[/red] \\x1b[31mnor this\\x07" in shown(app)

    play(space, script, size=(160, 50), screen="runs")


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_a_run_is_opened_by_its_name_and_every_pane_of_it_says_what_the_files_say(space, mu, size):
    run = next(run for run in run_store.listed(space) if "nb-NO" in run.id)
    printed = mu("runs", "show", run.id, "--workspace", space.root).out

    async def script(app, pilot):
        await until(
            app, pilot, lambda: app.screen.command == f"mu runs show {run.id}" and "75.00%" in shown(app)
        )
        await press(app, pilot, "right_square_bracket")  # of a finished run, the result comes first
        await until(app, pilot, lambda: "merge de-DE, sv-SE by ties" in shown(app))
        await press(app, pilot, "slash", *"told", "enter")
        await until(app, pilot, lambda: "by ties" not in app.screen.copied("text"))
        assert "accuracy told" in shown(app)
        assert not app.screen.key_of("run.follow")  # the log of a finished run does not grow
        seen = {}
        panes = {"metrics": "accuracy\t0.75", "events": "created", "config": "target: nb-NO", "machine": "packages:",
                 "result": "n = 40", "log": "accuracy told"}  # fmt: skip
        for pane, words in panes.items():
            await press(app, pilot, "right_square_bracket")
            await until(app, pilot, lambda words=words: words in app.screen.copied("text"))
            seen[pane] = app.screen.copied("text")
        for line in [*seen["config"].splitlines(), "75.00%"]:
            assert line in printed
        await press(app, pilot, "h", "l", "escape")
        assert app.screen.command == "mu runs list"

    play(space, script, size=size, screen="runs", what=[run.id[-8:]])


def test_a_name_that_no_run_has_is_told_and_the_table_stays(space):
    async def script(app, pilot):
        await settled(app, pilot)
        await until(app, pilot, lambda: any("unknown run" in note.message for note in app._notifications))
        await press(app, pilot, "escape")
        assert "merge-da-DK" in shown(app)

    play(space, script, screen="runs", what=["nothing"])


def test_a_workspace_without_runs_and_one_that_disappears_are_no_end(bench):
    import shutil

    async def script(app, pilot):
        await settled(app, pilot)
        assert "no runs yet" in shown(app)
        waiting(app.space, "sw-KE", task="home", base="e5-small")
        await press(app, pilot, "ctrl+r")
        assert "merge-sw-KE" in shown(app)
        shutil.rmtree(bench.root)
        await press(app, pilot, "ctrl+r")
        await until(app, pilot, lambda: "merge-sw-KE" not in shown(app))

    play(bench.load_space(), script, screen="runs")


def test_columns_are_filtered_by_name_and_a_gain_has_the_interval_of_its_run(space, mu):
    run = finished(space, "is-IS", [1, 1, 1, 0] * 10, over=(12, 2))
    assert "+25.0 pp, 95% +15.0 … +35.0, over sv-SE" in answer.sentence(run_store.result(run))

    async def script(app, pilot):
        await settled(app, pilot)
        (line,) = [line for line in shown(app).splitlines() if "merge-is-IS" in line[:60]]
        assert "▲ +25.0  +15.0 … +35.0" in line and "sv-SE" in line
        await press(app, pilot, "slash", *"target:is-IS", "space", *"state:finished", "enter")
        assert app.screen.table.count == 1 and app.focused is app.screen.table
        await press(app, pilot, "slash", "escape")
        assert app.screen.table.count == 5 and app.screen.text == ""

    play(space, script, size=(120, 40), screen="runs")  # with the preview beside the list
    found = mu("runs", "list", "--find", "method:ties state:queued", "--json", "--workspace", space.root).json
    assert [row["state"] for row in found] == ["queued"]


def test_several_runs_are_archived_at_once_and_come_back(space):
    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "space", "space", "a")
        assert app.screen.table.count == 2 and len(list((space.runs / ".archive").iterdir())) == 2
        await press(app, pilot, "u")
        assert app.screen.table.count == 4 and not list((space.runs / ".archive").iterdir())

    play(space, script, screen="runs")


def test_runs_that_are_archived_in_quick_succession_all_come_back(space):
    async def script(app, pilot):
        await settled(app, pilot)
        screen = app.screen
        for row in list(screen.table.in_view())[:2]:
            screen.table.marked = {row["id"]}
            screen.action_archive()  # the second before the first has ended
        await until(app, pilot, lambda: screen.table.count == 2)
        await settled(app, pilot)
        await press(app, pilot, "u", "u")
        assert screen.table.count == 4 and not screen.archived

    play(space, script, screen="runs")


def test_an_empty_list_offers_only_what_works_and_shows_the_first_run_once_there_is_one(bench):
    (bench.root / "mu.toml").write_text('context = "home/e5-small"\n')
    space = bench.load_space()
    assert not space.runs.exists()

    async def script(app, pilot):
        await settled(app, pilot)
        assert shown(app).splitlines()[-1].split("▏")[0].split() == ["/", "Find", "n", "New"]
        waiting(space, "sw-KE")
        await until(app, pilot, lambda: app.screen.table.count == 1)

    play(space, script, screen="runs")


def test_the_tab_counts_runs_at_work_and_the_bell_rings_at_an_end(space):
    run = waiting(space, "et-EE")
    run_store.Events(run.folder).add("started", pid=1)
    rung = []

    async def script(app, pilot):
        app.bell = lambda: rung.append(True)
        with run_store.claimed(run):
            await until(app, pilot, lambda: "4 runs ▶1" in shown(app))
        await until(app, pilot, lambda: rung and "4 runs]" in shown(app))

    play(space, script, screen="runs")


def test_an_archived_run_is_found_by_the_commands_and_the_log(space, mu):
    run = next(run for run in run_store.listed(space) if "da-DK" in run.id)
    archive.archive(space, [run.id])
    assert mu("runs", "show", run.id, "--json", "--workspace", space.root).json["state"] == "finished"
    assert mu("report", run.id, "--out", space.root / "report", "--workspace", space.root).code == 0
    node = evidence_tree.of_run(run.id, space.run_folder(run.id))
    assert node.facts["here"]
    asked = mu("runs", "resume", run.id, "--workspace", space.root)
    assert asked.code == 2 and "it is archived" in asked.err


@pytest.mark.parametrize("size", SIZES)
def test_the_chosen_columns_are_shown_before_the_usual_ones_and_remembered(space, size):
    async def script(app, pilot):
        await settled(app, pilot)
        assert "method" not in shown(app).splitlines()[2]
        await press(app, pilot, "o", "down")
        assert "▐X▌ state" in shown(app) and "▐ ▌ target" in shown(app)  # by sign, not by colour alone
        await press(app, pilot, "space", "escape")
        assert "target" in shown(app).splitlines()[2]
        assert "target" in app.saved_state["runs"]["columns"]
        await press(app, pilot, "q")

    async def later(app, pilot):
        await settled(app, pilot)
        assert "target" in shown(app).splitlines()[2]

    play(space, script, size=size, screen="runs")
    play(space, later, size=size, screen="runs")


def test_an_order_by_target_has_a_heading_for_each_and_the_cursor_passes_over_it(space):
    waiting(space, "sw-KE", seed=7)

    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "s", "s", "s")
        lines = [line[:30].strip() for line in shown(app).splitlines()[3:]]
        heads = [i for i, line in enumerate(lines) if line.startswith("target ")]
        assert [lines[i] for i in heads] == [
            "target da-DK  1 run", "target fi-FI  1 run", "target nb-NO  1 run", "target sw-KE  2 runs",
        ]  # fmt: skip
        assert [b - a for a, b in pairwise(heads)] == [2, 2, 2]
        await press(app, pilot, "g", *["down"] * 3)
        assert app.screen.table.here["target"] == "sw-KE"
        row = next(i for i, line in enumerate(shown(app).splitlines()) if line.startswith("›"))
        await pilot.click("#table", offset=(5, row - 3))
        assert app.screen.table.here["target"] == "sw-KE"  # the click was on its heading
        await pilot.click("#table", offset=(5, row - 4))
        assert app.screen.table.here["target"] == "nb-NO"

    play(space, script, screen="runs")


def test_tags_and_a_note_are_stored_with_the_run_and_found(space, mu):
    async def script(app, pilot):
        await settled(app, pilot)
        await press(app, pilot, "space", "space", "t", *"paper", "enter")
        await press(app, pilot, "escape", "g", "t")
        assert app.focused.value == "paper" and "enter: save   esc: cancel" in shown(app)
        await press(app, pilot, "end", "space", *"best", "tab", *"good", "enter")
        await press(app, pilot, "slash", *"tag:paper", "enter")
        assert app.screen.table.count == 2
        await press(app, pilot, "slash", *"tag:best", "enter")
        assert app.screen.table.count == 1 and app.screen.table.here["note"] == "good"
        await press(app, pilot, "enter")
        await until(app, pilot, lambda: app.screen.still)
        await press(app, pilot, "t", "escape")

    play(space, script, size=(120, 40), screen="runs")
    (row,) = mu("runs", "list", "--find", "tag:best", "--json", "--workspace", space.root).json
    assert (row["tags"], row["note"]) == ("paper best", "good")
    assert "\n#paper #best\ngood\n" in runs_data.preview(space, row["id"])
    assert "paper best" in mu("runs", "show", row["id"], "--workspace", space.root).out
    listed = mu("runs", "list", "--workspace", space.root).out.splitlines()
    assert listed[0].endswith("tags") and sum(line.endswith(("paper", "paper best")) for line in listed) == 2


def test_a_long_id_that_is_cut_keeps_its_digest(space):
    run = waiting(space, "da-DK", method="directional_consensus")

    async def script(app, pilot):
        await settled(app, pilot)
        (line,) = [line for line in shown(app).splitlines() if run.id[-8:] in line]
        assert f"…{run.id[-8:]}" in line

    assert len(run.id) > 28
    play(space, script, screen="runs")


def test_a_wide_preview_has_each_comparison_on_one_line(bench):
    space = bench.load_space()
    finished(space, "da-DK", [1, 0] * 100, over=(40, 10))

    async def script(app, pilot):
        await settled(app, pilot)
        await until(app, pilot, lambda: "it paid" in shown(app))
        lines = [" ".join(line.rpartition("│")[2].split()) for line in shown(app).splitlines()]
        assert "against accuracy difference 95% p" in lines
        assert any(line.endswith("+15.0 pp +5.0 … +25.0 0.010") for line in lines)

    play(space, script, size=(168, 50), screen="runs")
