"""N×N matrix and matrix of models against models, as text and as a PNG; numbers always, colour on top."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from merginguriel.errors import missing_extra
from merginguriel.files import write_bytes
from merginguriel.metrics.registry import find
from merginguriel.text.colours import cividis, is_light

from .nxn import Matrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Backgrounds of 16 colours from dark to light, each with a readable foreground.
SHADES = ("\x1b[37;40m", "\x1b[97;100m", "\x1b[30;47m", "\x1b[30;107m")
RESET = "\x1b[0m"
PLAIN, BASIC, TRUE = 0, 4, 24  # bits of colour
CELL = 7  # characters: "[84.2]*"
LEGEND = "rows: models, columns: test sets; [ ] own model, * best of its column"


def depth(stream: TextIO, environ: Mapping[str, str]) -> int:
    """Return the colour depth of `stream` in bits: none in a pipe, with NO_COLOR or on a dumb terminal."""
    if environ.get("NO_COLOR") or not stream.isatty() or environ.get("TERM", "dumb") == "dumb":
        return PLAIN
    return TRUE if environ.get("COLORTERM", "").lower() in ("truecolor", "24bit") else BASIC


def render(matrix: Matrix, *, depth: int = PLAIN, width: int = 100) -> str:
    """Format the matrix as lines of at most `width` columns; a wide one is cut into blocks of targets.

    Values times 100; [ ] marks a locale's own model, * the best of a column.
    """
    left = max([len("source"), *map(len, matrix.sources)])
    head = max([CELL, *map(len, matrix.targets)])
    per_block = max(1, (width - left) // (head + 1))
    low, high = span(matrix.scores)
    best = column_best(matrix)
    lines = []
    for start in range(0, len(matrix.targets), per_block):
        block = range(start, min(start + per_block, len(matrix.targets)))
        lines.append("source".ljust(left) + "".join(f" {matrix.targets[j]:>{head}}" for j in block))
        for i, source in enumerate(matrix.sources):
            cells = []
            for j in block:
                value = float(matrix.scores[i, j])
                own = source == matrix.targets[j]
                text = number(value, own, value == best[j]).rjust(head)
                cells.append(" " + _painted(text, (value - low) / (high - low), depth))
            lines.append(source.ljust(left) + "".join(cells))
        lines.append("n".ljust(left) + "".join(f" {int(matrix.n[j]):>{head - 1}} " for j in block))
        lines.append("")
    return "\n".join([*lines, *textwrap.wrap(f"{scale_text(matrix)}; {LEGEND}", width)])


def scale_text(matrix: Matrix) -> str:
    """Return the unit of the cells: `accuracy in %`, or `spearman × 100`."""
    return matrix.metric + (" in %" if find(matrix.metric).unit.percent else " × 100")


def save_png(matrix: Matrix, path: Path) -> None:
    """Draw the matrix with its values into a PNG. Raises UnavailableError without matplotlib."""
    write_figure(draw(matrix), path)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG without a date, so that the same matrix gives the same file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    write_bytes(path, buffer.getvalue())


def draw(matrix: Matrix) -> Figure:
    """Draw the matrix with its values as a figure. Raises UnavailableError without matplotlib."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Rectangle
    except ImportError as error:
        raise missing_extra("matplotlib") from error
    rows, columns = len(matrix.sources), len(matrix.targets)
    low, high = span(matrix.scores)
    best = column_best(matrix)
    figure = Figure(figsize=(2.4 + 0.62 * columns, 1.6 + 0.42 * rows), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(100 * matrix.scores, cmap="cividis", vmin=100 * low, vmax=100 * high, aspect="auto")
    axes.set_xticks(range(columns), matrix.targets, rotation=45, ha="right")
    axes.set_yticks(range(rows), matrix.sources)
    axes.set_xlabel("target (column)")
    axes.set_ylabel("source (row)")
    for i, source in enumerate(matrix.sources):
        for j, target in enumerate(matrix.targets):
            value = float(matrix.scores[i, j])
            shade = (value - low) / (high - low)
            weight = "bold" if value == best[j] else "normal"
            cell = "–" if np.isnan(value) else f"{100 * value:.1f}"
            write_cell(axes, j, i, cell, np.isnan(value) or shade > 0.5, fontsize=8, fontweight=weight)
            if source == target:
                axes.add_patch(
                    Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor="tab:red", linewidth=2)
                )
    figure.colorbar(image, ax=axes, label=scale_text(matrix))
    axes.set_title("boxed: a locale's own model; bold: best of its column", fontsize=8)
    return figure


def write_cell(axes: Any, x: int, y: int, text: str, light: bool, **style: Any) -> None:
    """Write a value into its cell; it is inside the axes, so that the layout need not measure it."""
    color = "black" if light else "white"
    axes.text(x, y, text, ha="center", va="center", color=color, **style).set_in_layout(False)


def number(value: float, own: bool, best: bool) -> str:
    """Format a cell in CELL characters or fewer: `[84.2]*` is a locale's own model and the best of its column."""
    if np.isnan(value):
        return "–  "
    text = f"{100 * value:.1f}"
    return (f"[{text}]" if own else f"{text} ") + ("*" if best else " ")


def _painted(text: str, shade: float, depth: int) -> str:
    if depth == PLAIN or np.isnan(shade):
        return text
    if depth == BASIC:
        return SHADES[min(len(SHADES) - 1, int(shade * len(SHADES)))] + text + RESET
    red, green, blue = cividis(shade)
    front = "0;0;0" if is_light(shade) else "255;255;255"
    return f"\x1b[38;2;{front};48;2;{red};{green};{blue}m{text}{RESET}"


def span(values: np.ndarray) -> tuple[float, float]:
    """Return the lowest and highest measured value, distinct even where all are equal."""
    known = values[~np.isnan(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def column_best(matrix: Matrix) -> np.ndarray:
    """Return the best measured value per column [T]; NaN for an empty column."""
    sign = find(matrix.metric).sign
    filled = np.where(np.isnan(matrix.scores), -np.inf, sign * matrix.scores)
    best = filled.max(axis=0, initial=-np.inf)
    return np.where(np.isinf(best), np.nan, sign * best)


def render_square(names: Sequence[str], matrix: np.ndarray, *, depth: int = PLAIN, width: int = 100) -> str:
    """Format the matrix [N, N] as lines of at most `width` columns, cut into blocks of columns if wider."""
    left, head = max(map(len, names)), max([CELL - 1, *map(len, names)])
    per_block = max(1, (width - left) // (head + 1))
    low, high = off_diagonal_span(matrix)
    lines = []
    for start in range(0, len(names), per_block):
        block = range(start, min(start + per_block, len(names)))
        lines.append(" " * left + "".join(f" {names[j]:>{head}}" for j in block))
        for name, row in zip(names, matrix, strict=True):
            texts = [similarity_text(float(row[j])).rjust(head) for j in block]
            shades = [(float(row[j]) - low) / (high - low) for j in block]
            cells = (f" {_painted(text, shade, depth)}" for text, shade in zip(texts, shades, strict=True))
            lines.append(name.ljust(left) + "".join(cells))
        lines.append("")
    return "\n".join(lines[:-1])


def save_square_png(names: Sequence[str], matrix: np.ndarray, title: str, path: Path) -> None:
    """Draw the matrix with its values into a PNG. Raises UnavailableError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib") from error
    low, high = off_diagonal_span(matrix)
    side = 1.6 + 0.55 * len(names)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(matrix, cmap="cividis", vmin=low, vmax=high)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            light = np.isnan(value) or (value - low) / (high - low) > 0.5
            write_cell(axes, j, i, similarity_text(float(value)), light, fontsize=7)
    figure.colorbar(image, ax=axes)
    axes.set_title(title, fontsize=8)
    write_figure(figure, path)


def off_diagonal_span(matrix: np.ndarray) -> tuple[float, float]:
    """Return the lowest and highest value off the diagonal, on which every model agrees with itself."""
    others = np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix)
    return span(others)


def similarity_text(value: float) -> str:
    """Format a value with three decimals; `–` for NaN."""
    return "–" if np.isnan(value) else f"{value:.3f}"
