"""All screens, and what opens over them, on a workspace with something in each."""

from __future__ import annotations

import csv

from looking import press, settled
from merginguriel_tui.registry import SCREENS
from run_screens import finished, until, waiting

NAMES = ("da-DK", "de-DE", "nb-NO")
EVIL = "[red]x[/] [@click=app.quit]y[/]"


def furnished(bench, *, title="A test", skill="Do it."):
    """Two runs that have finished, one that waits, a matrix, and an entry with rows and a link, about one context."""
    (bench.root / "mu.toml").write_text('context = "home/e5-small"\n')
    path = bench.skill()
    path.write_text(path.read_text().replace("Do it.", skill))
    table = (
        "| target | mode | method | similarity | k | value | baseline_kind | baseline |\n|---|---|---|---|---|---|---|---|\n"
        "| sw-KE | ExcTar | ties | REAL | 2 | 0.48 | best_single_source | 0.46 |\n"
        "| da-DK | ExcTar | ties | REAL | 2 | 0.58 | best_single_source | 0.60 |"
    )
    bench.entry(table=table, title=title, more="links: '2026-01-19-before-00000002'\n")
    bench.entry(table=table.replace("ties", "average"), entry="2026-01-19-before-00000002", title="Before")
    for place in (bench.root / "experiment_log").rglob("*.md"):
        place.write_text(place.read_text().replace("massive/xlm-roberta-base", "home/e5-small"))
    space = bench.load_space()
    runs = [finished(space, target, [1, 0, 1, i] * 10) for i, target in enumerate(("da-DK", "nb-NO"))]
    waiting(space, "sw-KE")
    space.results.mkdir(exist_ok=True)
    with (space.results / "nxn-home-e5-small-test.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["source", "target", "accuracy", "n"])
        every = [(i, j) for i in range(3) for j in range(3)]
        writer.writerows((NAMES[i], NAMES[j], (7 * i + 3 * j) % 10 / 10, 500) for i, j in every)
    return space, [run.id for run in runs]


def whats(runs):
    """What each screen is to open."""
    return {"advise": ("sw-KE",), "compare": tuple(runs)}


async def each(app, pilot, runs):
    """Go to every screen, and then to what opens over them; gives the name of each when it is there."""
    for name in SCREENS:
        app.action_go(name, *whats(runs).get(name, ()))
        await settled(app, pilot)
        await until(app, pilot, lambda: ready(app.screen))
        await pilot.pause(0.1)  # what is drawn after the next refresh
        await settled(app, pilot)
        yield name
    for name, key in (("runs", "n"), ("runs", "enter"), ("advise", "question_mark")):
        app.action_go(name)
        await settled(app, pilot)
        app.screen.query_one("#table" if name == "runs" else "#reasons").focus()
        await press(app, pilot, key)
        await until(app, pilot, lambda: ready(app.screen))
        yield type(app.screen).__name__
        app.pop_screen()
        await settled(app, pilot)


def ready(screen):
    """What the screen shows has been read."""
    names = ("advice", "knowledge", "found", "seen", "facts", "checked")
    there = [getattr(screen, name) for name in names if hasattr(screen, name)]
    return screen.table.count if getattr(screen, "NAME", "") == "runs" and not there else all(there)
