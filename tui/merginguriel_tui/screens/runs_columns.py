"""Columns of the list of runs: those to choose from, and their cells."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from rich.text import Text

from merginguriel.metrics.registry import find
from merginguriel.text.tables import plain
from merginguriel_tui.widgets.paged import Row, TableColumn
from merginguriel_tui.widgets.plots import bar

from .runs_data import short, state_text

if TYPE_CHECKING:
    from merginguriel.runs.run_progress import RunProgress

    Cell = Callable[[Row, RunProgress | None], Text]

# request → shown until it is answered
REQUESTED = {"pause": "pausing", "cancel": "cancelling", "resume": "resuming"}
USUAL = ("state", "run", "progress or gain", "over", "left", "best", "k", "sim.", "age")
CHOSEN = 2  # `gives` of the columns that are not usual: what is chosen stays while others are dropped
NAME = "run"  # the column that is always shown


def columns(names: Collection[str], standing: Callable[[str], RunProgress | None]) -> list[TableColumn]:
    """Return the columns with these names, in the order of COLUMNS.

    Args:
        names: Of COLUMNS; the name of the run is always shown.
        standing: Run id → its last check, if it has one.
    """

    def of(cell: Cell) -> Callable[[Row], Text]:
        return lambda row: cell(row, standing(str(row["id"])))

    return [
        TableColumn(name, width, of(cell), **{"gives": CHOSEN, **more})
        for name, (width, cell, more) in COLUMNS.items()
        if name in names or name == NAME
    ]


def state(row: Row, standing: RunProgress | None) -> str:
    """Return the current state of a row."""
    return standing.state if standing else str(row["state"])


def _progress(row: Row, standing: RunProgress | None) -> Text:
    """Return a bar for live runs, else gain with its interval, time taken, error or last step."""
    if standing is None or not standing.live:
        if row.get("gain"):
            return Text(row["gain"])
        if state(row, standing) == "finished":
            return Text(f"took {short(row['seconds'])}" if row["seconds"] else "", "dim")
        return Text(plain(row["error"] or row["step"] or "").replace("\n", " "), "dim")
    step = REQUESTED.get(standing.request or "") or plain(standing.step)
    if standing.whole is None:
        return Text(step)
    return Text(f"{bar(standing.whole.share, 5)}▕{100 * standing.whole.share:3.0f}% {step}")


def _best(row: Row, standing: RunProgress | None) -> Text:
    value, metric = row["best"], row["metric"]
    if standing and standing.best is not None:
        value, metric = standing.best, standing.metric
    return Text("" if value is None else find(str(metric)).unit.show(value))


def _age(row: Row, _: RunProgress | None) -> Text:
    from merginguriel.runs.run_store import seconds

    began = seconds(row["created"])
    return Text("" if began is None else short(time.time() - began))


def _of(name: str) -> Cell:
    return lambda row, _: Text("" if row[name] is None else plain(str(row[name])).replace("\n", " "))


# name → cells (0: the rest of the line), cell, further arguments of TableColumn
COLUMNS: dict[str, tuple[int, Cell, dict[str, Any]]] = {
    "state": (11, lambda row, standing: state_text(state(row, standing)), {"gives": 0}),
    NAME: (0, _of("id"), {"gives": 0, "ending": 8}),  # of its digest
    "target": (6, _of("target"), {}),
    "method": (10, _of("method"), {}),
    "seed": (4, _of("seed"), {"right": True}),
    "progress or gain": (22, _progress, {"gives": 1, "grows": 16}),
    "over": (6, lambda row, _: Text(plain(row.get("over") or "")), {"gives": 3}),
    "left": (
        5,
        lambda _, standing: Text(short(standing.whole.left) if standing and standing.whole else ""),
        {"gives": 5, "right": True},
    ),
    "best": (7, _best, {"gives": 0, "right": True}),
    "n": (6, _of("n"), {"right": True}),
    "k": (3, _of("k"), {"gives": 7, "right": True}),
    "sim.": (5, _of("similarity"), {"gives": 6}),
    "took": (5, lambda row, _: Text(short(row["seconds"])), {"right": True}),
    "age": (4, _age, {"gives": 4, "right": True}),
    "tags": (12, _of("tags"), {}),
    "note": (20, _of("note"), {}),
}
