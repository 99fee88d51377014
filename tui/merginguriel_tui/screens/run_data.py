"""Data of the screen of one run: what a check found, and the lines of its log."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import chop_cells
from rich.text import Text

from merginguriel.errors import MuError
from merginguriel.metrics.registry import find, named_in
from merginguriel.text.tables import plain
from merginguriel_tui.widgets.plots import bar

from .runs_data import reason

if TYPE_CHECKING:
    from merginguriel.config.schema import Config
    from merginguriel.runs.run_progress import RunProgress, Watch
    from merginguriel.runs.run_store import Run

MOST = 5000  # log lines in memory; `mu runs logs` prints all
BARS = 200  # accuracies shown, the last ones
STAMP = re.compile(
    r"^\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)\.\d+\+00:00"
)  # of a line in log.txt; UTC, as in the events


class Metrics(NamedTuple):
    """Metrics ready to show."""

    taken: int  # number of metrics included
    bars: Text  # accuracies as bars
    curves: dict[str, list[tuple[float, float]]]  # name → points (minutes, value)


class Facts(NamedTuple):
    """Result of a check."""

    standing: RunProgress  # state and progress
    lines: list[str]  # new lines of the log
    place: int  # position in the log file after them
    events: str  # text of the events pane
    result: str  # text of the result pane
    answer: str  # whether the merge paid, on one line; empty if that is not known
    metrics: Metrics  # metrics ready to show


class Still(NamedTuple):
    """What never changes: the run, its configuration (None: not readable), and that and the provenance as text."""

    run: Run
    settings: Config | None
    config: str
    machine: str


def wrapped(lines: list[str], width: int) -> list[str]:
    """Return log lines without their dates, those longer than `width` cells on several."""
    found = []
    for line in lines:
        short = STAMP.sub(r"\1", line)
        if not short.isascii():
            found += chop_cells(short, width) or [""]
        elif len(short) <= width:
            found.append(short)
        else:
            found += textwrap.wrap(short, width, subsequent_indent="  ", drop_whitespace=False)
    return found


def looked(still: Still, watch: Watch, position: int, before: Facts | None, width: int) -> Facts:
    """Read new events and log lines, and the result of a finished run. Called in a worker."""
    from merginguriel.runs import run_store
    from merginguriel.runs.run_progress import TAIL, read_on
    from merginguriel.text.runs import event_line

    from .answer import lines as answer_lines
    from .answer import sentence

    status = watch.look()
    lines, position = read_on(still.run.folder / "log.txt", position, most=TAIL)
    result, answer = f"no result yet: the run is {status.state}", ""
    if status.state == "finished":
        try:
            found = run_store.result(still.run)
            result, answer = "\n".join(answer_lines(found, width)), sentence(found)
        except MuError as error:
            result, answer = error.render(), "✗ the result cannot be read"
    elif status.state == "failed":
        result = reason(watch.events)
    events = "\n".join(event_line(event) for event in watch.events[-MOST:])
    # Go through thousands of metrics only if one is new.
    metrics = (
        before.metrics if before and before.metrics.taken == len(watch.metrics) else metrics_of(watch.metrics)
    )
    return Facts(status, lines, position, events, result, answer, metrics)


def metrics_of(metrics: list[tuple[float, str, float]]) -> Metrics:
    """Sort metrics into bars and curves. Called in a worker."""
    scores = [(name, of, value) for _, name, value in metrics if (of := named_in(name))][-BARS:]
    width = max((len(name) for name, *_ in scores), default=0)
    bars = Text()
    for name, of, value in scores:
        bars.append(f"{plain(name).ljust(width)}  {bar(value, 20)}▕ {find(of).unit.show(value)}\n")
    curves: dict[str, list[tuple[float, float]]] = {}
    start: dict[str, float] = {}  # each curve begins at 0, so that trainings can be compared
    for at, name, value in metrics:
        if not named_in(name):
            curves.setdefault(name, []).append(((at - start.setdefault(name, at)) / 60, value))
    return Metrics(len(metrics), bars, curves)
