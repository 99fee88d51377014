"""Matrix of models against models as text and as a PNG; numbers always, colour on top."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from merginguriel.errors import missing_extra

from .heatmap import PLAIN, _painted, span, write_figure

CELL = 6  # characters: " 0.532"


def render(names: Sequence[str], matrix: np.ndarray, *, depth: int = PLAIN, width: int = 100) -> str:
    """Format the matrix [N, N] as lines of at most `width` columns, cut into blocks of columns if wider."""
    left, head = max(map(len, names)), max([CELL, *map(len, names)])
    per_block = max(1, (width - left) // (head + 1))
    low, high = apart(matrix)
    lines = []
    for start in range(0, len(names), per_block):
        block = range(start, min(start + per_block, len(names)))
        lines.append(" " * left + "".join(f" {names[j]:>{head}}" for j in block))
        for name, row in zip(names, matrix, strict=True):
            cells = [
                " " + _painted(number(float(row[j])).rjust(head), (float(row[j]) - low) / (high - low), depth)
                for j in block
            ]
            lines.append(name.ljust(left) + "".join(cells))
        lines.append("")
    return "\n".join(lines[:-1])


def save_png(names: Sequence[str], matrix: np.ndarray, title: str, path: Path) -> None:
    """Draw the matrix with its values into a PNG. Raises UnavailableError without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib") from error
    low, high = apart(matrix)
    side = 1.6 + 0.55 * len(names)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(matrix, cmap="cividis", vmin=low, vmax=high)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            light = np.isnan(value) or (value - low) / (high - low) > 0.5
            axes.text(j, i, number(float(value)), ha="center", va="center", fontsize=7,
                      color="black" if light else "white")  # fmt: skip
    figure.colorbar(image, ax=axes)
    axes.set_title(title, fontsize=8)
    write_figure(figure, path)


def apart(matrix: np.ndarray) -> tuple[float, float]:
    """Return the lowest and highest value off the diagonal, on which every model agrees with itself."""
    others = np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix)
    return span(others)


def number(value: float) -> str:
    """Format a value with three decimals; `–` for NaN."""
    return "–" if np.isnan(value) else f"{value:.3f}"
