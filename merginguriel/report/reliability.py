"""Reliability figure of advice: P(gain > 0) against the share that gained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from merginguriel.errors import missing_extra

from .figures import BLUE, GREY, STYLE


def draw(points: Sequence[tuple[float, float, int]], path: Path) -> None:
    """Draw the figure into `path`.

    Args:
        points: Mean P, share that gained, and number of pieces of advice of each bucket.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib") from error
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.6, 3.6), layout="constrained")
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
        for said, gained, count in points:
            axes.plot(said, gained, "o", color=BLUE, markersize=5 + 2 * count**0.5)
            axes.annotate(str(count), (said, gained), xytext=(7, -4), textcoords="offset points", color=GREY)
        axes.set(
            xlabel="P(gain > 0) that the advice gave",
            ylabel="share that gained",
            xlim=(0, 1.02),
            ylim=(-0.02, 1.02),
        )
        figure.savefig(path, dpi=150)
