"""Figures of a report: gains, ranks, merging effects and settings.

Colours are Okabe & Ito's (2008); shape, fill and hatching show sign and certainty too. The same numbers give the same
bytes: no dates, and ids in SVG from a fixed salt.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from merginguriel.errors import missing_extra
from merginguriel.files import write_bytes
from merginguriel.text.differences import ABOVE, BELOW, NOISE, Difference

from .comparisons import TargetResult
from .contrasts import Contrast
from .method_ranks import Ranking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, VERMILLION, ORANGE, GREY = "#0072B2", "#D55E00", "#E69F00", "#6E6E6E"
VERDICTS = {ABOVE: BLUE, BELOW: VERMILLION, NOISE: "#D0D0D0"}
LINES = ("--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 4)))
STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.5,
    "svg.hashsalt": "mu report",
    "svg.fonttype": "path",
    "text.parse_math": False,  # a $ in a name is a $
}
LONGEST = 58  # characters of a label
MOST = 60  # rows of one figure
NAMED = 24  # targets whose names fit above their points


class EffectPoint(NamedTuple):
    """A merge in the plot of effects: value of the feature, and merging effect."""

    target: str
    x: float
    effect: Difference


ABOUT: dict[str, dict[str, None]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


def save(draw: Callable[[], Figure], path: Path, forms: Sequence[str] = ("png", "svg")) -> None:
    """Draw into `path` with the endings `forms`.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise missing_extra("matplotlib") from error
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing"
        )  # a name in a script that the font lacks
        figure = draw()
        for form in forms:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=form, dpi=150, metadata=ABOUT.get(form))
            write_bytes(path.with_name(f"{path.name}.{form}"), buffer.getvalue())


def short(label: str) -> str:
    """Shorten a label to LONGEST characters on one line, without its middle."""
    label = "".join(c if c.isprintable() else "�" for c in label)
    if len(label) <= LONGEST:
        return label
    return label[: LONGEST // 2 - 1] + "…" + label[-(LONGEST // 2) :]


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(min(width, 60), min(height, 60)), layout="constrained")


def _wide(labels: Sequence[str]) -> float:
    """Return the inches that the longest label takes."""
    return 0.078 * max([4, *(len(short(label)) for label in labels)])


# differences from a baseline


def target_bars(
    panels: Sequence[tuple[str, Sequence[TargetResult], str]], words: Callable[[str], str]
) -> Figure:
    """Draw the bars of every method on one target.

    Args:
        panels: Title, cells and kind of baseline at zero.
        words: Kind of baseline → its name.
    """
    panels = [(title, sorted(cells, key=_gain(kind))[-MOST:], kind) for title, cells, kind in panels]
    rows = [len(cells) for _, cells, _ in panels]
    labels = [cell.label for _, cells, _ in panels for cell in cells]
    figure = _figure(6.2 + _wide(labels), sum(0.235 * n + 1.45 for n in rows))
    axes = figure.subplots(len(panels), squeeze=False, gridspec_kw={"height_ratios": [n + 4 for n in rows]})
    for ax, (title, cells, kind) in zip(axes[:, 0], panels, strict=True):
        _bars(ax, title, cells, kind, words)
    return figure


def _gain(kind: str) -> Callable[[TargetResult], tuple[float, str]]:
    return lambda cell: (cell.metric.sign * cell.against[kind].value, cell.label)


def _bars(ax: Any, title: str, cells: Sequence[TargetResult], kind: str, words: Callable[[str], str]) -> None:
    from matplotlib.patches import Patch

    for y, cell in enumerate(cells):
        d = cell.against[kind]
        colour = VERDICTS.get(d.verdict, "white")
        ax.barh(y, d.value, color=colour, edgecolor="#333333", linewidth=0.6,
                hatch=None if d.verdict in (ABOVE, BELOW) else "////")  # fmt: skip
        if d.low is not None and d.high is not None:
            ax.plot([d.low, d.high], [y, y], color="black", linewidth=1.1, marker="|", markersize=5)
        ax.annotate(f"{100 * cell.value:.1f}", (1, y), (4, 0), xycoords=("axes fraction", "data"),
                    textcoords="offset points", va="center", fontsize=8)  # fmt: skip
    metric = cells[0].metric
    short_name = "acc." if metric.name == "accuracy" else metric.name
    ax.annotate(f"{short_name}{metric.mark}", (1, len(cells) - 0.3), (4, 0), xycoords=("axes fraction", "data"),
                textcoords="offset points", va="bottom", fontsize=8, color=GREY)  # fmt: skip
    ax.axvline(0, color="black", linewidth=1)
    handles: list[Any] = [
        Patch(facecolor=BLUE, edgecolor="#333333", label="above, outside noise"),
        Patch(facecolor=VERMILLION, edgecolor="#333333", label="below, outside noise"),
        Patch(
            facecolor="#D0D0D0",
            edgecolor="#333333",
            hatch="////",
            label="within noise, all comparisons counted",
        ),
    ]
    others = [k for k in dict.fromkeys(k for cell in cells for k in cell.baselines) if k != kind]
    # A baseline far off, such as the majority class, would press the bars together; the table has it.
    ends = [
        0.0,
        *(x for c in cells for x in (c.against[kind].low, c.against[kind].high, c.against[kind].value) if x),
    ]
    room = 0.25 * (max(ends) - min(ends))
    near = min(ends) - room, max(ends) + room
    for other, line in zip(others, LINES, strict=False):
        places = {
            round(100 * (c.baselines[other] - c.baselines[kind]), 6) for c in cells if other in c.baselines
        }
        if len(places) == 1 and near[0] <= min(places) <= near[1]:
            handles.append(ax.axvline(places.pop(), color=GREY, linestyle=line, label=words(other), zorder=0))
    ax.set_yticks(range(len(cells)), [short(cell.label) for cell in cells])
    ax.set_ylim(-0.7, len(cells) - 0.3)
    values = {round(100 * cell.baselines[kind], 1) for cell in cells}
    zero = f" ({metric.unit.show(values.pop() / 100, 1)})" if len(values) == 1 else ""
    ax.set_xlabel(f"difference to {words(kind)}{zero}, {metric.unit.points}, with 95% intervals")
    ax.set_title(short(title), loc="left", fontsize=10, pad=14)
    ax.legend(handles=handles, fontsize=7, frameon=False, ncols=3, loc="upper center",
              bbox_to_anchor=(0.5, -0.42 / (0.235 * len(cells) + 0.3)))  # fmt: skip


def gains(
    cells: Sequence[TargetResult], kind: str, columns: Mapping[tuple[str, str], str], zero: str
) -> Figure:
    """Draw the differences in points of methods (rows, best mean on top) on targets (columns)."""
    from matplotlib.colors import LinearSegmentedColormap

    by_label: dict[str, dict[tuple[str, str], Difference]] = {}
    for cell in cells:
        if kind in cell.against:
            by_label.setdefault(cell.label, {})[cell.context, cell.target] = cell.against[kind]
    places = sorted({place for found in by_label.values() for place in found})
    sign = cells[0].metric.sign
    order = sorted(
        by_label, key=lambda x: (-sign * float(np.mean([d.value for d in by_label[x].values()])), x)
    )
    values = np.array([[by_label[x][p].value if p in by_label[x] else np.nan for p in places] for x in order])
    limit = max(1.0, float(np.nanquantile(np.abs(values), 0.75)))
    names = [columns[place] for place in places]
    map_ = LinearSegmentedColormap.from_list("gain", [VERMILLION, "white", BLUE])
    figure = _figure(1.4 + _wide(order) + 0.66 * len(places), 1.5 + 0.24 * len(order) + 0.4 * _wide(names))
    ax = figure.add_subplot()
    ax.set_facecolor("#EEEEEE")  # not measured
    image = ax.imshow(values, cmap=map_, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    for i, label in enumerate(order):
        for j, place in enumerate(places):
            d = by_label[label].get(place)
            if d is None:
                continue
            mark = {ABOVE: "▲", BELOW: "▼"}.get(d.verdict, "")
            # Inside the axes: the layout need not measure each of thousands of numbers.
            ax.text(j, i, f"{mark}{d.value:+.1f}".replace("-", "−"), ha="center", va="center", fontsize=7,
                    fontweight="bold" if mark else "normal",
                    color="white" if abs(d.value) > 0.75 * limit else "black").set_in_layout(False)  # fmt: skip
    ax.set_xticks(
        range(len(places)), [short(name) for name in names], rotation=45, ha="right", rotation_mode="anchor"
    )
    ax.set_yticks(range(len(order)), [short(label) for label in order])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    bar = figure.colorbar(image, ax=ax, extend="both", pad=0.02, aspect=30)
    bar.set_label(f"difference to {zero}, {cells[0].metric.unit.points}")
    ax.set_title("▲ above, ▼ below: outside noise; no mark: within noise", fontsize=8, loc="left")
    return figure


# ranks


def critical_difference(ranking: Ranking, test: str) -> Figure:
    """Draw mean ranks, and bars over methods that do not rank apart by `test` (Demšar 2006, figure 1)."""
    k = len(ranking.methods)
    left = ceil(k / 2)
    cliques = _stacked(ranking.cliques(test))
    depth = 1 + max([0, *(row for _, _, row in cliques)])
    top = 0.16 + 0.11 * depth
    labels = [f"{short(name)}  {mean:.2f}" for name, mean in zip(ranking.methods, ranking.mean, strict=True)]
    side = 0.078 * max(map(len, labels)) + 0.2
    span = max(3.6, min(7.5, 0.45 * k))
    height = top + 0.21 * (left + 0.6)
    above = 0.95 if test == "nemenyi" else 0.6
    width = span + 2 * side
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height + above))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_xlim(0, width)
    ax.set_ylim(height, -above)  # inches, downwards from the axis of ranks
    ax.axis("off")
    lowest, highest = 1, k

    def x(rank: float) -> float:
        return side + span * (rank - lowest) / (highest - lowest)

    ax.plot([x(lowest), x(highest)], [0, 0], color="black", linewidth=1.2)
    step = max(1, ceil(k / 14))
    for tick in sorted(
        {*range(1, k + 1, step), k} - ({k - 1} if step > 1 and (k - 1) % step == 1 else set())
    ):
        ax.plot([x(tick)] * 2, [-0.06, 0], color="black", linewidth=1)
        if tick == k or k - tick >= step / 2:
            ax.text(x(tick), -0.09, str(tick), ha="center", va="bottom", fontsize=8)
    ax.text(x(lowest) - 0.12, 0, "mean rank, 1 is best", ha="right", va="center", fontsize=8, color=GREY)
    if test == "nemenyi":
        end = min(lowest + ranking.critical, highest)
        ax.plot([x(lowest), x(end)], [-0.5, -0.5], color="black", linewidth=1.4, marker="|", markersize=7)
        more = "" if end < highest else " (wider than the axis)"
        ax.text((x(lowest) + x(end)) / 2, -0.56, f"critical difference {ranking.critical:.2f}{more}",
                ha="center", va="bottom", fontsize=8)  # fmt: skip
    for first, last, row in cliques:
        y = 0.14 + 0.11 * row
        ends = [x(ranking.mean[first]) - 0.05, x(ranking.mean[last]) + 0.05]
        ax.plot(ends, [y, y], color=BLUE, linewidth=3.2, solid_capstyle="butt")
    for i, label in enumerate(labels):
        on_left = i < left
        y = top + 0.21 * ((i if on_left else k - 1 - i) + 0.6)
        edge = side - 0.08 if on_left else side + span + 0.08
        ax.plot([x(ranking.mean[i])] * 2 + [edge], [0, y, y], color="#444444", linewidth=0.8)
        ax.text(edge + (-0.05 if on_left else 0.05), y, label, ha="right" if on_left else "left", va="center",
                fontsize=8)  # fmt: skip
    return figure


def _stacked(cliques: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(first, last, row): each bar in the highest row where it touches no other."""
    ends: list[int] = []
    found = []
    for first, last in cliques:
        row = next((r for r, end in enumerate(ends) if end < first), len(ends))
        ends[row : row + 1] = [last]
        found.append((first, last, row))
    return found


# effects and settings


def effects(points: Sequence[EffectPoint], feature: str) -> Figure:
    """Draw merging effects against a feature: ▲ synergy and ▼ interference outside noise, ○ others."""
    from matplotlib.lines import Line2D

    figure = _figure(7.6, 5.2)
    ax = figure.add_subplot()
    shapes = {ABOVE: ("^", BLUE, BLUE), BELOW: ("v", VERMILLION, VERMILLION)}
    whiskers = len(points) <= 40
    for point in points:
        marker, face, edge = shapes.get(point.effect.verdict, ("o", "none", GREY))
        ax.plot(point.x, point.effect.value, marker=marker, markersize=5.5, markerfacecolor=face,
                markeredgecolor=edge, linestyle="none", alpha=0.85)  # fmt: skip
        if whiskers and point.effect.low is not None and point.effect.high is not None:
            ax.plot([point.x] * 2, [point.effect.low, point.effect.high], color=edge, linewidth=0.8, zorder=1)
    ax.axhline(0, color="black", linewidth=1)
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, -1), max(high, 1) + 0.16 * (high - low))
    _target_names(ax, points)
    ax.set_xlabel(feature)
    ax.set_ylabel(f"merging effect: merge − mean of its sources, {points[0].effect.points}")
    kinds = (("^", BLUE, BLUE, "synergy, outside noise"), ("v", VERMILLION, VERMILLION, "interference, outside noise"),
             ("o", "none", GREY, "within noise"))  # fmt: skip
    handles = [
        Line2D([], [], marker=m, markerfacecolor=f, markeredgecolor=e, linestyle="none", label=text)
        for m, f, e, text in kinds
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=8, frameon=False)
    return figure


def _target_names(ax: Any, points: Sequence[EffectPoint]) -> None:
    """Write each target's name over its points, where all of them have one x."""
    by_target: dict[str, list[EffectPoint]] = {}
    for point in points:
        by_target.setdefault(point.target, []).append(point)
    # Where they would stand in each other's way, or a target has points everywhere, the table tells which is which.
    if len(by_target) > NAMED or any(len({p.x for p in found}) > 1 for found in by_target.values()):
        return
    apart = 0.018 * (ax.get_xlim()[1] - ax.get_xlim()[0])
    last = -np.inf
    for name, found in sorted(by_target.items(), key=lambda item: (item[1][0].x, item[0])):
        place = max(found[0].x, last + apart)  # names of targets at nearly the same x stand beside each other
        last = place
        ends = [
            p.effect.high if len(points) <= 40 and p.effect.high is not None else p.effect.value
            for p in found
        ]
        ax.annotate(short(name), (place, max(ends)), (0, 6), textcoords="offset points", rotation=90,
                    ha="center", va="bottom", fontsize=7)  # fmt: skip


def forest(rows: Sequence[tuple[str, Contrast]], xlabel: str) -> Figure:
    """Draw a row per contrast: mean over targets with its 95% interval, and a tick for each target."""
    rows = list(rows)[:MOST]
    figure = _figure(5.2 + _wide([name for name, _ in rows]), 1.3 + 0.27 * len(rows))
    ax = figure.add_subplot()
    for y, (_, setting) in enumerate(reversed(rows)):
        d = setting.difference
        ax.plot(list(setting.by_target.values()), [y] * len(setting.by_target), marker="|", linestyle="none",
                color=ORANGE, markersize=7, zorder=1)  # fmt: skip
        if d.low is not None and d.high is not None:
            ax.plot([d.low, d.high], [y, y], color="black", linewidth=1.3, zorder=2)
        outside = d.verdict in (ABOVE, BELOW)
        shape = "D" if outside else "o" if d.verdict == NOISE else "X"
        ax.plot(d.value, y, marker=shape, markersize=6.5, zorder=3, linestyle="none",
                markerfacecolor=VERDICTS[d.verdict] if outside else "white", markeredgecolor="black")  # fmt: skip
    ax.axvline(0, color="black", linewidth=1)
    ax.set_yticks(range(len(rows)), [short(name) for name, _ in reversed(rows)])
    ax.set_ylim(-0.7, len(rows) - 0.3)
    # One target far off would press all the rest together: such ticks lie outside, and the axis says so.
    ends = [
        x for _, s in rows for x in (s.difference.low, s.difference.high, s.difference.value) if x is not None
    ]
    each = [x for _, s in rows for x in s.by_target.values()]
    low, high = min([0.0, *each]), max([0.0, *each])
    room = 0.05 * ((high - low) or 1)
    limits = (
        max(min([low, *ends]), low - 1.5 * (high - low)) - room,
        min(max([high, *ends]), high + 1.5 * (high - low)) + room,
    )
    ax.set_xlim(*limits)
    ax.set_xlabel(xlabel)
    ax.set_title("◆ outside noise, ○ within noise, × untested; | one target", fontsize=8, loc="left")
    return figure


# advice


def reliability(points: Sequence[tuple[float, float, int]]) -> Figure:
    """Draw P(gain > 0) of advice against the share that gained; points: mean P, that share, and number of each bucket."""
    figure = _figure(3.6, 3.6)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    for stated, gained, count in points:
        axes.plot(stated, gained, "o", color=BLUE, markersize=5 + 2 * count**0.5)
        axes.annotate(str(count), (stated, gained), xytext=(7, -4), textcoords="offset points", color=GREY)
    axes.set(xlabel="P(gain > 0) that the advice gave", ylabel="share that gained")
    axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.02))
    return figure
