"""Report of a backtest: tables, and figures of policies, calibration and risk against coverage."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from merginguriel.files import write_text
from merginguriel.text import backtest as text

from . import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from merginguriel.decision.backtest import Backtest, Backtests

HEAD = """\
# Backtest of the advice

`mu backtest` predicts what the log has measured from what it would have known without it, and compares policies by the
gain that they would have realised. A gain is over the best single model. Intervals are 95% over targets; few targets
share many source models, so that they are somewhat narrow. Knowledge {hash}.
"""


def write(done: Backtests, folder: Path) -> list[Path]:
    """Write report.md and its figures; return the paths.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    reached = text.bars.table(done.contexts)
    parts = [HEAD.format(hash=done.knowledge_hash), f"## {reached[0]}\n\n{text.markdown(reached)}\n"]
    paths = []
    for one in done.contexts:
        name = one.context.replace("/", "-") + "".join(f"-without-{t}" for t in one.without)
        parts.append(f"## {text.heading(one)}\n")
        figures.save(partial(draw, one), folder / name, ("png",))
        paths.append(folder / f"{name}.png")
        parts.append(f"![Policies, calibration, and gain by share of targets acted on]({name}.png)\n")
        for table in text.tables(one):
            if table[2]:
                parts.append(f"### {table[0]}\n\n{text.markdown(table)}\n")
    if done.sources:
        table = text.of_sources(done)
        parts.append(f"## {table[0]}\n\n{text.markdown(table)}\n")
    report = folder / "report.md"
    write_text(report, "\n".join(parts))
    return [report, *paths]


def draw(done: Backtest) -> Figure:
    """Draw realised gains by policy, the histogram of predictions, and gain against the share of targets acted on."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    policies = sorted(done.policies, key=lambda p: p.gain_pp)
    places = list(range(len(policies)))
    for place, p in zip(places, policies, strict=True):
        colour = figures.BLUE if p.name.startswith("engine") else figures.GREY
        left.plot([p.low_pp, p.high_pp], [place, place], color=colour)
        left.plot([p.gain_pp], [place], "o", color=colour, markersize=4)
    left.axvline(0, color="black", linewidth=0.6)
    left.set_yticks(places, [p.name for p in policies], fontsize=7)
    wide = [p for p in policies if p.high_pp - p.low_pp < 15]
    left.set_xlim(min(p.low_pp for p in wide) - 0.5, max(p.high_pp for p in wide) + 0.5)
    left.set_xlabel("realised gain, pp (95%)")
    if done.left_out:
        every = done.left_out[0]
        middle.bar([i / 10 + 0.05 for i in range(10)], every.pit, width=0.09, color=figures.ORANGE)
        middle.axhline(every.predictions / 10, color="black", linewidth=0.6)
    middle.set_xlabel("gain in its predictive distribution")
    middle.set_ylabel("gains")
    if done.risk_coverage:
        right.plot(*zip(*done.risk_coverage, strict=True), "-o", color=figures.BLUE, markersize=3)
    right.set_xlabel("share acted on, surest first")
    right.set_ylabel("mean gain, pp")
    return figure
