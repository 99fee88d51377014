"""The Log screen filters as `mu log` does; what is written in it lands or is saved."""

from __future__ import annotations

import pytest
from beside import of_cli, ready
from conftest import ENTRY, row
from looking import notes, press, settled, shipped_copy, text_of
from merginguriel_tui.screens.compose_entry import ComposeScreen
from merginguriel_tui.screens.landing import LandedScreen
from merginguriel_tui.screens.log import LogScreen
from merginguriel_tui.widgets.choice import ChoiceLine, Pick
from pilot import play
from run_screens import finished, until
from textual.widgets import Input, Static

from merginguriel.knowledge.base import load
from merginguriel.knowledge.log import append, drafts
from merginguriel.knowledge.parse.rows import row_cells
from merginguriel.loop import entry_draft

PLAN = """---
title: "TIES on Swahili"
type: "Plan"
date: "2026-11-20"
summary: "TIES may gain."
context: "home/e5-small"
---

## Expected

| target | mode | method | k | low | high | over |
|---|---|---|---|---|---|---|
| sw-KE | ExcTar | ties | 2 | -1 pp | +2 pp | best_single_source |
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return shipped_copy(tmp_path_factory.mktemp("log"))


@pytest.fixture
def space(bench):
    return bench.load_space()


@pytest.mark.slow
def test_filters_narrow_the_timeline_as_the_command_does(shared, mu):
    async def script(app, pilot):
        await ready(app, pilot)
        screen = app.screen
        every = len(screen.found)
        steps = [
            ("target", "sw-KE"), ("method", "ties"), ("since", "2026-01-01"), ("until", "2026-01-21"), ("find", "ties"),
        ]  # fmt: skip
        screen.query_one("#type", ChoiceLine).take("Retrospective")
        for name, value in steps:
            screen.query_one(f"#{name}", Input).value = value
            await settled(app, pilot)
            result = of_cli(screen.command, shared, "--json").json
            assert [one.id for one in reversed(screen.found)] == [one["id"] for one in result]
        assert 0 < len(screen.found) < every
        await press(app, pilot, "x")
        assert len(screen.found) == every and screen.command == "mu log list"

    play(shared, script, screen="log")


@pytest.mark.slow
def test_every_key_of_the_screen(shared, mu):
    async def script(app, pilot):
        await ready(app, pilot)
        screen = app.screen
        newest = screen.found[0].id
        assert screen.here == newest and newest[:10] in text_of(app)
        await press(app, pilot, "j")
        assert screen.here == screen.found[1].id
        await press(app, pilot, "w")
        assert screen.focused.id == "entry" and screen.command == f"mu log show {screen.here}"
        assert of_cli(screen.command, shared).out.split("\n")[1].startswith(screen.found[1].title)
        await press(app, pilot, "w", "enter", "escape", "f")
        assert screen.query_one("#type", ChoiceLine).value == "Plan"
        assert {one.type for one in screen.found} == {"Plan"}
        await press(app, pilot, "x", "o")
        result = of_cli(screen.command, shared, "--json").json
        assert [one.id for one in reversed(screen.found)] == [one["id"] for one in result]
        assert all(one.id in screen.marks for one in screen.found) and "?" in text_of(app)
        await press(app, pilot, "o", "slash")
        assert screen.focused.id == "find"
        await press(app, pilot, "enter", "n")
        await until(app, pilot, lambda: isinstance(app.screen, Pick))
        await press(app, pilot, "escape")

    play(shared, script, screen="log")


def test_a_deep_link_opens_an_entry_and_its_links_lead_on_and_back(shared):
    async def script(app, pilot):
        await ready(app, pilot)
        screen = app.screen
        first = screen.here
        assert first.startswith("2026-11-21-what-the-neuromerging")
        links = screen.page.drawn.links
        await press(app, pilot, "right_square_bracket")
        href = links[screen.page.link].href
        await press(app, pilot, "enter")
        assert screen.here == href.partition(":")[2] != first
        assert screen.found[screen.table.cursor].id == screen.here
        await press(app, pilot, "backspace")
        assert screen.here == screen.found[screen.table.cursor].id == first
        assert first[:4] in screen.copied("csv") and "# What" in screen.copied("markdown")

    play(shared, script, size=(120, 40), screen="log", what=("2026-11-21-what",))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_rows_are_shown_with_every_column_and_their_baseline_in_a_title(shared, size):
    async def script(app, pilot):
        await ready(app, pilot)
        page = app.screen.page
        await until(app, pilot, lambda: page.marked >= 0)
        assert "r43 da-DK slerp 2 0.8000 0.7800 +2.00" in " ".join(text_of(app).split())
        tables = "\n".join(strip.text for strip in page.drawn.lines).partition("Rows as read")[2]
        assert "ExcTar · over best_single_source" in tables and "ExcTar · over source_mean" in tables
        assert max(map(len, tables.splitlines())) < page.size.width

    what = "2026-11-21-every-merging-method-on-6-targets-of-the-601dd827#r43"
    play(shared, script, size=size, screen="log", what=(what,))


@pytest.mark.slow
def test_a_retrospective_begins_with_the_rows_of_a_run_and_lands(space, mu):
    plan = space.root / "plan.md"
    plan.write_text(PLAN)
    assert mu("log", "add", str(plan), "--workspace", str(space.root)).code == 0
    run = finished(space, "sw-KE", [1, 1, 1, 0])
    rows = run.folder / "rows.csv"
    head, line = rows.read_text().splitlines()
    cells = dict(zip(head.split(","), line.split(","), strict=True))
    cells |= {"baseline_kind": "best_single_source", "baseline": "0.5"}
    rows.write_text(f"{head}\n{','.join(cells.values())}\n")

    async def script(app, pilot):
        await ready(app, pilot)
        await press(app, pilot, "n", *"run", "enter")
        screen = app.screen
        assert isinstance(screen, ComposeScreen)
        await until(app, pilot, lambda: screen.entry is not None)
        assert "Expected against actual" in screen.text and "+25.00 pp" in screen.text
        assert "outside" in screen.text and "answers:" in screen.text
        assert screen.entry.rows[0].run == run.id
        screen.area.text = screen.text.replace("## Findings", "## What failed\n\nNothing.\n\n## Findings")
        await settled(app, pilot)
        await until(app, pilot, lambda: screen.entry is not None)
        await press(app, pilot, "f2")
        assert "+Nothing." in text_of(app)  # the diff before it lands
        await press(app, pilot, "y")
        await until(app, pilot, lambda: isinstance(app.screen, LandedScreen))  # the advice before and after
        await press(app, pilot, "escape")
        await until(app, pilot, lambda: isinstance(app.screen, LogScreen))
        await settled(app, pilot)
        here = app.screen.here
        entry = load(space).entry(here)
        assert entry.answers and entry.rows[0].run == run.id and "Nothing." in entry.body
        assert not drafts.listed(space)

    play(space, script, size=(120, 40), screen="log")
    plans = mu("log", "plans", "--all", "--json", "--workspace", str(space.root))
    assert plans.code != 0 or "answered" in plans.out


def test_the_command_begins_the_same_text(space, mu):
    run = finished(space, "sw-KE", [1, 1, 1, 0])
    result = mu(
        "log", "add", "--run", run.id, "--dry-run", "--json", "--workspace", str(space.root)
    ).json["text"]  # fmt: skip
    text = entry_draft.retrospective(space, run.id)
    assert [line for line in text.splitlines() if line.strip() and "rows:" not in line and line != "## Results"] == [
        line for line in result.splitlines() if line.strip()
    ]  # fmt: skip


def test_rows_that_measure_the_same_as_earlier_ones_are_named_once_the_entry_is_in_the_log(tmp_path):
    space = shipped_copy(tmp_path)
    first = "2026-11-21-every-merging-method-on-6-targets-of-the-601dd827#r43"
    cells = row_cells(load(space).by_row[first])
    table = [[*cells], ["---"] * len(cells), [str(cell or "-") for cell in cells.values()]]
    new = [cell if name != "seed" else "7" for name, cell in zip(cells, table[-1], strict=True)]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in [*table, table[-1], new])
    text = ENTRY.format(title="Again", date="2026-11-22", n="500", more="", table=rows)
    append.keep_draft(space.log, text, drafts.folder(space.log) / "aaaa1111.md")

    async def script(app, pilot):
        await ready(app, pilot)
        await press(app, pilot, "n", *"aaaa", "enter")
        await until(app, pilot, lambda: isinstance(app.screen, ComposeScreen) and app.screen.entry)
        await press(app, pilot, "f2")
        assert "Add (y)" in text_of(app) and "No (n)" in text_of(app)  # below the text, however long
        await press(app, pilot, "y")
        await until(app, pilot, lambda: isinstance(app.screen, LandedScreen))
        lines = str(app.screen.query_one("#landed Static", Static).visual).splitlines()
        repeated = [line for line in lines if "same measurement" in line]
        assert repeated == [f"#r{n}: same measurement as {first}, not counted" for n in (1, 2)]

    play(space, script, screen="log")


@pytest.mark.slow
def test_what_is_wrong_stands_below_while_one_types_and_the_draft_survives(space):
    async def first(app, pilot):
        await ready(app, pilot)
        await press(app, pilot, "n", *"observ", "enter")
        screen = app.screen
        await until(app, pilot, lambda: "title" in str(screen.query_one("#checked").visual))
        await press(app, pilot, "f2")
        assert "cannot be added yet" in notes(app)
        screen.area.text = screen.text.replace('title: ""', 'title: "An [i]idea[/i]"')
        screen.keep()
        await settled(app, pilot)
        assert [one.title for one in drafts.listed(space)] == ["An [i]idea[/i]"]  # as after a crash
        screen.area.text = screen.text.replace('summary: ""', 'summary: "It may work."')
        await settled(app, pilot)
        await press(app, pilot, "f4")
        assert screen.anyway
        await press(app, pilot, "f3", "f3")
        # The program ends here, without a word.

    async def second(app, pilot):
        await ready(app, pilot)
        assert "1 unfinished draft" in notes(app)
        await press(app, pilot, "n", *"draft", "enter")
        screen = app.screen
        assert isinstance(screen, ComposeScreen) and "It may work." in screen.text
        await press(app, pilot, "escape")
        assert isinstance(app.screen, LogScreen) and len(drafts.listed(space)) == 1
        await press(app, pilot, "n", *"draft", "enter")
        await until(app, pilot, lambda: isinstance(app.screen, ComposeScreen))
        await press(app, pilot, "f8")
        await press(app, pilot, "y")
        assert isinstance(app.screen, LogScreen) and not drafts.listed(space)

    play(space, first, screen="log")
    play(space, second, screen="log")


def test_what_was_only_filled_in_leaves_nothing_behind(space):
    run = finished(space, "sw-KE", [1, 1, 0, 0])

    async def script(app, pilot):
        await ready(app, pilot)
        app.screen.begin("run", run.id)
        await settled(app, pilot)
        assert list(drafts.folder(space.log).iterdir())
        await press(app, pilot, "escape")
        assert not list(drafts.folder(space.log).iterdir())

    play(space, script, screen="log")


def test_an_unknown_entry_and_a_wrong_date_are_notes(shared):
    async def script(app, pilot):
        await ready(app, pilot)
        assert "no entry id starts with" in notes(app)
        app.screen.query_one("#since", Input).value = "2026-13-99"
        await settled(app, pilot)
        assert "is not a date" in notes(app) and app.screen.found

    play(shared, script, screen="log", what=("1999-nothing",))


def test_the_entry_shows_no_base64_and_offers_links_only_where_it_has_some(bench):
    more = "\n\n## Notes\n\n| word | items |\n|---|---|\n| seen | AQIDBA== |\n\nSee 2026-01-19-before-00000002.\n"
    bench.entry(row() + more)
    bench.entry(row(), entry="2026-01-19-before-00000002", title="Before")

    async def script(app, pilot):
        await ready(app, pilot)
        page = app.screen.page
        await until(app, pilot, lambda: page.drawn.links)
        assert "seen" in page.text and "AQIDBA" not in page.text
        await press(app, pilot, "w", "enter")
        assert page.link == 0 and app.screen.key_of("page.follow")
        await press(app, pilot, "enter")
        await until(
            app, pilot, lambda: app.screen.here == "2026-01-19-before-00000002" and not page.drawn.links
        )
        assert not app.screen.key_of("page.follow")

    play(bench.load_space(), script, size=(120, 40), screen="log")
