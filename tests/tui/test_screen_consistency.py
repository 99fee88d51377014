"""The screens agree with themselves: keys that work are offered, links arrive, notes cover nothing, no key is lost."""

from __future__ import annotations

import asyncio
import threading

import pytest
from conftest import row
from looking import press, settled, text_of
from merginguriel_tui import advice_view
from merginguriel_tui.app import MuApp
from merginguriel_tui.dialogs import Confirm
from merginguriel_tui.screens import links, recipe
from pilot import play
from rich.color import ColorSystem
from rich.style import Style
from run_screens import finished, shown, until, waiting
from textual import events

from merginguriel.knowledge.base import load
from merginguriel.knowledge.skills.diff import Change
from merginguriel.loop import advise_request, ledger
from merginguriel.runs import run_store

# Links


@pytest.mark.parametrize(
    ("number", "size"), [(43, (80, 24)), pytest.param(203, (160, 50), marks=pytest.mark.slow)]
)
def test_a_link_to_a_row_arrives_at_the_row(bench, space, number, size):
    lines = [
        f"| sw-KE | ExcTar | ties | REAL | 2 | {0.3 + i / 1000:.3f} | {i} |" for i in range(1, number + 3)
    ]
    table = "| target | mode | method | similarity | k | value | seed |\n|---|---|---|---|---|---|---|\n"
    bench.entry(table=table + "\n".join(lines))

    async def script(app, pilot):
        await settled(app, pilot)
        app.action_go("log", f"2026-01-20-test-00000001#r{number}")
        await settled(app, pilot)
        page = app.screen.page
        assert page.drawn.lines[page.marked].text.split()[0] == f"r{number}"
        assert page.scroll_offset.y < page.marked < page.scroll_offset.y + page.size.height
        assert any(line.split("│")[-1].split()[:1] == [f"r{number}"] for line in text_of(app).splitlines())

    play(space, script, size=size, screen="log")


@pytest.mark.parametrize("sign", ["+ density=0.3", "- density=0.2", "= 5", "1. first", "2) second"])
def test_the_evidence_of_a_change_is_shown_with_its_sign(sign):
    from merginguriel_tui.widgets.page import draw

    page = links.changes_page("merging", "", [Change("config", "density", "0.2 → 0.3", evidence=(sign,))])

    assert any(line.text.strip().endswith(sign) for line in draw(page, 70, {}).lines)


# Notes


def test_notes_have_lines_of_their_own(bench, space):
    bench.entry(row())

    async def run():
        app = MuApp(space, screen="advise", what=("sw-KE",))
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            for screen in ("advise", "skills", "log", "runs"):
                await on(app, pilot, screen)

    async def on(app, pilot, screen):
        app.action_go(screen)
        app.clear_notifications()
        await settled(app, pilot)
        app.notify("one\ntwo", timeout=600, markup=False)
        await until(app, pilot, lambda: "▌ two" in text_of(app))
        body, rack = app.screen.query_one("#body").region, app.screen.query_one("Toast").region
        command = app.screen.query_one("#command").region
        assert body.bottom <= command.y < rack.y and rack.bottom == 23
        app.notify("\n".join("a long story" for _ in range(30)), timeout=600, markup=False)
        await until(app, pilot, lambda: "a long story" in text_of(app))
        assert app.screen.query_one("#body").size.height > 10  # however long the note
        await press(app, pilot, "question_mark")
        await until(app, pilot, lambda: app.screen.query("Toast"))
        assert app.screen.query_one("#help").region.bottom <= app.screen.query_one("Toast").region.y
        await press(app, pilot, "escape")

    asyncio.run(run())


# Keys


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        ("queued", "cancel pause resume"),
        ("finished", ""),
        ("cancelled", "resume"),
        ("paused", "cancel resume"),
    ],
)
def test_a_run_offers_to_cancel_pause_and_resume_only_where_that_works(space, state, offered):
    run = finished(space, "da-DK", [1, 0, 1]) if state == "finished" else waiting(space, "da-DK")
    if state in ("cancelled", "paused"):
        run_store.request(run, state.removesuffix("d").removesuffix("l") if state == "paused" else "cancel")

    async def script(app, pilot):
        await settled(app, pilot)
        for prefix in ("runs", "run"):
            if prefix == "run":
                app.screen.open_run(run.id)
                await until(app, pilot, lambda: getattr(app.screen, "facts", None) is not None)
            ids = {one.binding.id for one in app.screen.active_bindings.values()}
            shown = {word for word in ("cancel", "pause", "resume") if f"{prefix}.{word}" in ids}
            assert shown == set(offered.split())
            if state == "finished":
                await press(app, pilot, "x")
                assert not isinstance(app.screen, Confirm)

    play(space, script, screen="runs")


def test_what_is_typed_at_once_after_the_slash_goes_into_the_field(bench, space):
    bench.entry(row())

    async def script(app, pilot):
        for screen in ("advise", "skills", "log", "runs", "matrix"):
            app.action_go(screen)
            await settled(app, pilot)
            for key in "/en/x":
                app.post_message(events.Key({"/": "slash"}.get(key, key), key))
            await settled(app, pilot)
            assert app.focused.id == "find" and app.focused.value == "en/x" and len(app.screen_stack) == 1

    play(space, script, screen="advise", what=("sw-KE",))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('"advise.run" = "s"', "the key s means both advise.run and advise.save"),
        ('"runs.new" = "q"', "the key q means both quit and runs.new"),
        ('"runs.new" = "f9"\n"runs.mark" = "f9"', "the key f9 means both runs.mark and runs.new"),
        ('"runs.new" = "?"', "the key question_mark means both keys and runs.new"),
        ('"runs.new" = "s"\n"runs.order" = "f9"', ""),
        ('"advise.run" = "n"\n"advise.next" = "r"', ""),
    ],
)
def test_one_key_for_two_actions_is_reported(bench, keys, said):
    (bench.root / "mu.toml").write_text(f'context = "home/e5-small"\n[tui.keys]\n{keys}\n')

    async def script(app, pilot):
        await settled(app, pilot)
        notes = "\n".join(note.message for note in app._notifications)
        assert said in notes if said else "means both" not in notes

    play(bench.load_space(), script)


# Colours


def test_16_colours_paint_each_verdict_differently():
    words = ("MERGE", "PILOT", "NO MERGE", "UNKNOWN")
    for system in (ColorSystem.STANDARD, ColorSystem.EIGHT_BIT):
        colours = {Style.parse(advice_view.STYLES[word]).color.downgrade(system).number for word in words}
        assert len(colours) == len(words)
    pilot = Style.parse(advice_view.STYLES["PILOT"]).color.downgrade(ColorSystem.STANDARD).number
    assert pilot in (3, 11)  # yellow


# Compare


@pytest.mark.parametrize("first", [True, False])
def test_comparing_with_a_run_at_work_shows_what_there_is_and_why_no_more(space, first):
    done, other = finished(space, "da-DK", [1, 0, 1] * 9), waiting(space, "da-DK", method="average")
    run_store.Events(other.folder).add("started", pid=1)
    names = (other.id, done.id) if first else (done.id, other.id)

    async def script(app, pilot):
        with run_store.claimed(other):
            app.screen.show(*names)
            await settled(app, pilot)
            await until(app, pilot, lambda: "What differs" in shown(app))
            assert f"running: mu runs watch {other.id}" in app.screen.copied("text")
            assert "66.67%" in shown(app) and "method" in shown(app)

    play(space, script, size=(160, 50), screen="compare")


# Advice

SAME = (
    "| target | mode | method | similarity | k | sources | seed | value | baseline_kind | baseline | n |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|\n"
    "| sw-KE | ExcTar | average | REAL | 2 | de-DE en-US | {seed} | 0.62 | best_single_source | 0.40 | 2974 |"
)


@pytest.mark.parametrize(("seed", "asks"), [("0", True), ("7", False)])
def test_a_recipe_that_is_measured_already_is_named_and_asks_first(bench, space, seed, asks):
    bench.entry(table=SAME.format(seed=seed))
    for path in (bench.root / "experiment_log").rglob("*.md"):
        path.write_text(path.read_text().replace("massive/xlm-roberta-base", "home/e5-small"))
    space = bench.load_space()
    knowledge = load(space)
    advice = advise_request.advise(knowledge, advise_request.question(knowledge, "sw-KE"))
    assert [s.locale for s in advice.recipe.sources] == ["de-DE", "en-US"]
    rows = recipe.measured(knowledge, advice)
    assert (recipe.same_seed(rows, 0) is not None) == asks

    async def script(app, pilot):
        first = "measured already as 2026-01-20-test#r1; r runs it" if asks else " r runs this recipe"
        await until(app, pilot, lambda: first in text_of(app))
        await press(app, pilot, "r")
        await until(app, pilot, lambda: isinstance(app.screen, Confirm))
        for words in ("Measured already as 2026-01-20-test-00000001#r1", "takes seed 1"):
            assert (words in text_of(app)) == asks

    play(space, script, size=(160, 50), screen="advise", what=("sw-KE",))
    assert not list(space.runs.glob("*"))


def test_a_key_pressed_while_the_advice_loads_is_honoured_afterwards(bench, space, monkeypatch):
    bench.entry(table=SAME.format(seed="0"))
    for path in (bench.root / "experiment_log").rglob("*.md"):
        path.write_text(path.read_text().replace("massive/xlm-roberta-base", "home/e5-small"))
    go, inner = threading.Event(), ledger.answered

    def slow(*args, **options):
        assert go.wait(120)
        return inner(*args, **options)

    monkeypatch.setattr(ledger, "answered", slow)

    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.knowledge is not None)
        app.post_message(events.Key("r", "r"))
        await until(app, pilot, lambda: app.screen.after is not None)
        assert app.screen.advice is None
        go.set()
        await until(app, pilot, lambda: isinstance(app.screen, Confirm))
        await settled(app, pilot)

    play(bench.load_space(), script, screen="advise", what=("sw-KE",))
