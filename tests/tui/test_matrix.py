"""The matrix screen shows, sorts, chooses and exports what `mu matrix` prints."""

from __future__ import annotations

import csv
import json
import time
from dataclasses import replace

import pytest

pytest.importorskip("textual")

from looking import notes, press, settled, text_of
from merginguriel_tui.screens import matrix_data
from merginguriel_tui.screens.matrix_data import ORDERS, wish_of
from merginguriel_tui.widgets.heat import STEPS, Heat, style
from pilot import play as played
from run_screens import until

from merginguriel import locales, workspace

NAMES = ("da-DK", "de-DE", "fi-FI", "nb-NO", "ru-RU", "sv-SE")


def play(space, script, *, size=(80, 24), what=(), screen="matrix"):
    """What `script(app, pilot)` gives, played once the screen has loaded."""
    found = []

    async def whole(app, pilot):
        await settled(app, pilot)
        found.append(await script(app, pilot))

    played(space, whole, size=size, screen=screen, what=what)
    return found[0]


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def fill(path, names, value):
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "target", "accuracy", "n"])
        writer.writerows((s, t, value(i, j), 500) for i, s in enumerate(names) for j, t in enumerate(names))


@pytest.fixture
def space(tmp_path, mu):
    """The shipped knowledge, with a matrix on test data and one on development data."""
    root = tmp_path / "space"
    assert mu("init", str(root), "--context", "home/e5-small").code == 0
    results = root / "results"
    fill(
        results / "nxn-home-e5-small-test.csv",
        NAMES,
        lambda i, j: 0.9 if i == j else 0.4 + 0.01 * i + 0.05 * j,
    )
    fill(results / "nxn-home-e5-small-dev.csv", NAMES, lambda i, j: 0.8 if i == j else 0.7 - 0.01 * i)
    return workspace.find(explicit=root)


def printed(mu, space, command):
    result = mu(*command.split()[1:], "--workspace", str(space.root), "--json")
    assert result.code == 0, result.err
    return json.loads(result.out)


@pytest.mark.slow
def test_the_command_below_prints_the_same_figures_in_the_same_order(space, mu):
    for order in ORDERS:

        async def script(app, pilot, order=order):
            await pilot.press("right", "right")
            while app.screen.wish.order != order:
                await pilot.press("o")
                await settled(app, pilot)
            seen = app.screen.seen.shown
            figures = {s: dict(zip(seen.targets, map(float, row), strict=True))
                       for s, row in zip(seen.sources, seen.scores, strict=True)}  # fmt: skip
            return app.screen.command, figures, app.screen.query_one(Heat).target

        command, figures, target = play(space, script, screen="matrix")
        found = printed(mu, space, command)
        assert found["accuracy"] == figures
        assert list(found["accuracy"]) == list(figures)
        assert list(found["accuracy"]["da-DK"]) == list(figures["da-DK"])
        assert target in command


@pytest.mark.slow
def test_the_cursor_tells_source_target_value_rank_and_who_would_take_it(space, mu):
    async def script(app, pilot):
        await pilot.press("l", "down")
        await settled(app, pilot)
        text = str(app.screen.query_one("#matrix-cell").render()) + str(
            app.screen.query_one("#matrix-choices").render()
        )
        heat = app.screen.query_one(Heat)
        row = heat.render_line(1 + heat.row).text
        return text, dict(heat.marks), row, app.screen.command

    text, marks, row, command = play(space, script, screen="matrix")
    assert "de-DE on de-DE" in text and "90.00%" in text and "rank 1 of 6" in text and "n = 500" in text
    chosen = printed(mu, space, command)["chosen"]
    for letter, names in (("U", chosen["URIEL"]), ("R", chosen["REAL"]), ("E", chosen["advice"]["sources"])):
        assert {s for s, mark in marks.items() if letter in mark} == {one["source"] for one in names} & set(
            NAMES
        )
    assert chosen["real_from"] == "dev"
    assert "›[90.0]*" in row  # without any colour: the cursor, the diagonal, the best of the column


@pytest.mark.slow
def test_names_stay_in_view_while_a_large_matrix_scrolls_without_a_stall(space):
    names = list(locales.table())[:200]
    fill(space.results / "nxn-home-e5-small-test.csv", names, lambda i, j: ((7 * i + 13 * j) % 100) / 100)

    async def script(app, pilot):
        heat = app.screen.query_one(Heat)
        await pilot.press("end", "G")
        await pilot.pause()
        top, line = heat.render_line(0).text, heat.render_line(heat.row - heat.scroll_offset.y + 1).text
        start = time.process_time()
        for _ in range(10):
            for y in range(heat.size.height):
                heat.render_line(y)
        return top, line, (time.process_time() - start) / 10, heat.target, heat.source

    top, line, seconds, target, source = play(space, script, size=(200, 60), screen="matrix")
    assert target == source == sorted(names)[-1]
    assert top.startswith("source") and target in top and line.startswith(source)
    assert seconds < 0.1


@pytest.mark.slow
def test_every_key_of_the_screen_does_what_its_help_says(space, monkeypatch):
    went = []

    async def script(app, pilot):
        monkeypatch.setattr(app, "action_go", lambda *words: went.append(words))
        heat, screen = app.screen.query_one(Heat), app.screen
        places = []
        for key in ("down", "l", "up", "right", "left", "h", "j", "k", "G", "ctrl+home", "ctrl+end", "g", "dollar_sign",
                    "home", "end", "circumflex_accent", "pagedown", "pageup", "ctrl+f", "ctrl+b", "ctrl+right", "ctrl+left", "L", "H"):  # fmt: skip
            await pilot.press(key)
            await pilot.pause()
            places.append((heat.row, heat.column))
        orders = []
        for key in ("o", "t", "v"):
            await pilot.press(key)
            await settled(app, pilot)
            orders.append(screen.wish.order)
        await pilot.press("slash", *"norw", "enter")
        await pilot.pause()
        found = heat.target, heat.source, app.focused is heat
        await pilot.press("slash", "escape")
        back = app.focused is heat
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("m")
        await settled(app, pilot)
        return places, orders, found, back, screen.seen.one.name

    places, orders, found, back, other = play(space, script, screen="matrix")
    assert places[:9] == [(1, 0), (1, 1), (0, 1), (0, 2), (0, 1), (0, 0), (1, 0), (0, 0), (5, 0)]
    assert places[9:16] == [(0, 0), (5, 0), (0, 0), (0, 5), (0, 0), (0, 5), (0, 0)]
    assert places[16:] == [(5, 0), (0, 0), (5, 0), (0, 0), (0, 5), (0, 0), (0, 5), (0, 0)]
    assert orders == ["family", "similarity", "value"]
    assert found == ("nb-NO", "nb-NO", True) and back
    assert went == [("advise", "nb-NO", "home/e5-small")]
    assert other == "home/e5-small dev"


@pytest.mark.slow
def test_export_writes_both_files_in_the_order_that_is_shown(space):
    pytest.importorskip("matplotlib")

    async def script(app, pilot):
        await pilot.press("o", "e")
        await settled(app, pilot)
        await pilot.press("e")
        await settled(app, pilot)
        return app.screen.seen.shown.sources

    sources = play(space, script, screen="matrix")
    written = space.results / "matrix-home-e5-small-test-by-family.csv"
    with written.open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert tuple(dict.fromkeys(line["source"] for line in lines)) == sources != NAMES
    assert written.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_click_moves_the_cursor_and_names_from_files_are_data(space):
    evil = "[red]x[/]\x1b[31m"
    fill(space.results / "nxn-home-e5-small-test.csv", (evil, "da-DK"), lambda i, j: 0.5)

    async def script(app, pilot):
        heat = app.screen.query_one(Heat)
        first = heat.source, heat.target
        texts = [heat.render_line(y).text for y in range(3)]
        texts += [str(app.screen.query_one("#matrix-cell").render()), app.screen.copied("text")]
        await pilot.click(Heat, offset=(heat.left + heat.cell + 2, 2))
        await pilot.pause()
        return first, (heat.source, heat.target), texts

    first, then, texts = play(space, script)
    assert (first, then) == ((evil, evil), ("da-DK", "da-DK"))
    assert not any("\x1b" in text for text in texts)
    assert "[red]x[/]" in texts[1] and "[red]x[/]" in texts[3]


def test_copies_are_text_markdown_csv_and_the_command(space):
    async def script(app, pilot):
        return {how: app.screen.copied(how) for how in ("text", "markdown", "csv", "command")}

    copies = play(space, script, screen="matrix")
    assert "[90.0]" in copies["text"]
    assert copies["markdown"].startswith("| source | da-DK |")
    assert copies["csv"].startswith("source,target,accuracy,n")
    assert copies["command"] == "mu matrix home/e5-small --split test --target da-DK"


def test_a_damaged_matrix_is_a_note_and_the_screen_stays(space):
    async def script(app, pilot):
        (space.results / "nxn-home-e5-small-test.csv").write_text("nonsense\n")
        await pilot.press("ctrl+r")
        await settled(app, pilot)
        return [n.message for n in app._notifications], app.screen.seen.one.name

    notes, name = play(space, script, screen="matrix")
    assert "this is not an N×N matrix" in notes[0]
    assert name == "home/e5-small test"


def test_a_deep_link_names_a_target_or_a_context_in_any_order():
    assert wish_of(("sw-KE",)).target == "sw-KE"
    assert wish_of(("home/e5-small",)).context == "home/e5-small"
    assert wish_of(("da-DK", "s1-test", "home/e5-small")) == replace(
        wish_of(()), target="da-DK", split="s1-test", context="home/e5-small"
    )


def test_with_16_colours_there_are_four_shades_and_every_one_can_be_read():
    shades = [style(shade, True) for shade in range(STEPS)]
    assert len({str(one.bgcolor) for one in shades}) == 4
    assert all(one.color != one.bgcolor for one in shades)


def test_a_deep_link_to_what_is_not_there_says_so_and_shows_what_is(space):
    async def script(app, pilot):
        await until(app, pilot, lambda: app.screen.seen is not None)
        await settled(app, pilot)
        return notes(app), text_of(app)

    result, screen = play(space, script, what=("massive/xlm-roberta-base", "dev", "sw-KE"))

    assert "massive/xlm-roberta-base" in result
    assert "loading" not in screen and "da-DK" in screen


@pytest.mark.slow
def test_enter_asks_about_the_context_of_the_matrix(space):
    (space.root / "mu.toml").write_text('context = "massive/xlm-roberta-base"\n')

    async def script(app, pilot):
        await press(app, pilot, "enter")
        await until(app, pilot, lambda: app.current_mode == "advise" and app.screen.advice is not None)
        await settled(app, pilot)
        return app.screen.advice.context

    assert (
        play(workspace.find(explicit=space.root), script, what=("home/e5-small", "test", "nb-NO"))
        == "home/e5-small"
    )


@pytest.mark.slow
def test_embedders_are_shown_by_pairs_of_languages_with_their_ndcg(space, mu):
    path = space.results / "nxn-retrieval-home-ko-en-test.csv"
    cells = {("a", "ko-ko"): 0.61, ("a", "ko-en"): 0.52, ("b", "ko-ko"): 0.63, ("b", "ko-en"): 0.47}
    lines = ["source,target,ndcg_at_10,n", *(f"{s},{t},{v},84" for (s, t), v in cells.items())]
    path.write_text("\n".join(lines), encoding="utf-8")

    async def script(app, pilot):
        cell = str(app.screen.query_one("#matrix-cell").render())
        legend = str(app.screen.query_one("#matrix-legend").render())
        command = app.screen.command
        assert not app.screen.key_of("matrix.advise") and not app.screen.key_of("matrix.about")
        column = matrix_data.column(app.screen.seen.shown, "ko-en", None, 9, of_pairs=True).plain
        return cell, legend, command, column

    cell, legend, command, column = play(space, script, what=("retrieval/home-ko-en", "ko-en"))
    assert "a on ko-en  0.5200  rank 1 of 2" in cell and "n = 84" in cell
    assert "queries in ko, documents in en" in legend
    assert "×100" in column and "URIEL" not in column
    assert printed(mu, space, command)["ndcg_at_10"]["b"] == {"ko-ko": 0.63, "ko-en": 0.47}
