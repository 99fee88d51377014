"""Curves, bars and intervals drawn with characters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.text import Text
from textual.widgets import Static
from textual.worker import get_current_worker

from merginguriel.text.tables import plain

MOST = 400  # points of a curve, more than twice the columns of a wide terminal
EIGHTHS = " ▏▎▍▌▋▊▉█"
# Marker and colour: curves differ without colours too.
LOOKS = (("braille", "cyan"), ("o", "orange"), ("x", "magenta"), ("*", "green"), ("+", "blue"), ("#", "red"))

Points = Sequence[tuple[float, float]]


def thinned(points: Points, most: int = MOST) -> Points:
    """Return at most `most` points: the lowest and highest of each stretch, so that no peak is lost."""
    if len(points) <= most:
        return points
    size = -(-len(points) // (most // 2))
    result: list[tuple[float, float]] = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        low, high = min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])
        result += sorted({low, high})
    return result


def curves(series: Mapping[str, Points], width: int, height: int, xlabel: str = "") -> Text:
    """Return a plot of named curves. Takes tens of milliseconds: call it in a worker.

    Args:
        series: Name → points (x, y).
        width: Columns of the plot.
        height: Lines of the plot.
        xlabel: Label of the x axis.
    """
    from textual_plotext.plot import Plot

    plot = Plot()
    plot.theme("clear")
    plot.plotsize(width, height)
    plot._set_size(width, height)
    for (name, points), (marker, colour) in zip(series.items(), looks(len(series)), strict=True):
        few = thinned(points)
        plot.plot([x for x, _ in few], [y for _, y in few], label=plain(name), marker=marker, color=colour)
    plot.xlabel(xlabel)
    return Text.from_ansi(plot.build())


def looks(count: int) -> list[tuple[str, str]]:
    """Return a marker and a colour for each of `count` curves."""
    return [LOOKS[i % len(LOOKS)] for i in range(count)]


def bar(share: float, width: int) -> str:
    """Return a bar of `width` cells, filled to `share` (0 to 1) in steps of an eighth of a cell."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    whole, rest = divmod(eighths, 8)
    return ("█" * whole + (EIGHTHS[rest] if rest else "")).ljust(width)


def span(low: float, mid: float, high: float, least: float, most: float, width: int) -> str:
    """Return an interval on a scale from `least` to `most`: `   ├──●──┤ ┊`, with ┊ at 0 if the scale has it."""

    def cell(value: float) -> int:
        share = (value - least) / (most - least) if most > least else 0.5
        return round(min(max(share, 0.0), 1.0) * (width - 1))

    cells = [" "] * width
    for i in range(cell(low), cell(high) + 1):
        cells[i] = "─"
    cells[cell(low)], cells[cell(high)] = "├", "┤"
    if least <= 0 <= most:
        cells[cell(0)] = "┊" if cells[cell(0)] == " " else "┼"
    cells[cell(mid)] = "●"
    return "".join(cells)


class CurvePlot(Static):
    """Curves, redrawn in a worker when they or the size change."""

    DEFAULT_CSS = "CurvePlot { height: 1fr; min-height: 6; }"

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.empty = ""
        self.series: Mapping[str, Points] = {}
        self.xlabel = ""
        self.drawn: object = None

    def draw(self, series: Mapping[str, Points], xlabel: str, empty: str) -> None:
        """Replace the curves; `empty` is shown if there are none."""
        self.series, self.xlabel, self.empty = series, xlabel, empty
        self.again()

    def on_resize(self) -> None:
        """Redraw for the new size."""
        self.again()

    def again(self) -> None:
        """Redraw if the curves or the size have changed."""
        width, height = self.size
        sizes = {name: len(points) for name, points in self.series.items()}
        key = (width, height, self.xlabel, self.empty, sizes)
        if key == self.drawn or width < 10 or height < 4:
            return
        self.drawn = key
        series = {name: list(points) for name, points in self.series.items() if points}
        if not series:
            self.update(Text(self.empty, "dim"))
            return

        def work() -> None:
            text = curves(series, width, height, self.xlabel)
            # A replaced thread runs on: its plot has another size or fewer points, and is dropped.
            if not get_current_worker().is_cancelled:
                self.show(text)

        self.run_worker(work, thread=True, exclusive=True, group="plot")

    def show(self, text: Text) -> None:
        """Show a finished plot, called from the worker."""
        update: Callable[[Text], None] = self.update
        self.app.call_from_thread(update, text)
