"""Text of the pane beside the matrix: cell, chosen sources, and column of the target."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.cells import set_cell_size
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from merginguriel.evaluation.nxn import Matrix
    from merginguriel.study.matrix_store import Chosen


def cell(shown: Matrix, source: str, target: str, commonest: Mapping[str, float]) -> Text:
    """Describe a cell: value, rank in its column, n, majority class, the target's own model; one or two lines."""
    from merginguriel.study.matrix_store import rank

    value = float(shown.accuracy[shown.sources.index(source), shown.targets.index(target)])
    n = int(shown.n[shown.targets.index(target)])
    text = Text()
    text.append(f"{plain(source)} on {plain(target)}  ", "bold")
    if math.isnan(value):
        text.append("not measured")
    else:
        place, of = rank(shown, source, target)
        text.append(f"{100 * value:.2f}%", "bold")
        text.append(f"  rank {place} of {of}")
    if source == target:
        text.append("  its own model")
    text.append(f"\nn = {n:,}" if n else "\nn unknown")
    if target in commonest:
        text.append(f"  majority class {100 * commonest[target]:.1f}%")
    if source != target and target in shown.sources:
        own = float(shown.accuracy[shown.sources.index(target), shown.targets.index(target)])
        if not math.isnan(own):
            text.append(f"  own model {100 * own:.1f}%")
    return text


def choices(picked: Chosen | None) -> Text:
    """Return three lines: the sources that URIEL, REAL and the advice would choose; None: not known yet."""
    if picked is None:
        return Text("URIEL …\nREAL …\nadvice …", "dim")
    text = Text()
    lines = (
        (
            "U",
            "URIEL",
            [f"{plain(s)} {picked.near[s]:.2f}" for s in picked.by_uriel],
            "no typological features",
        ),
        ("R", "REAL", [f"{plain(s)} {100 * picked.measured[s]:.1f}" for s in picked.by_real], "not measured"),
    )
    for letter, name, named, none in lines:
        text.append(f"{letter} ", "bold")
        text.append(f"{name}  {', '.join(named) or none}")
        # The data behind REAL: development data may be used for choosing, test data may not.
        text.append(f"  by {plain(picked.real_from)}\n" if letter == "R" and named else "\n", "dim")
    text.append("E ", "bold")
    weights = [plain(s) + ("" if w is None else f" {w:.2f}") for s, w in picked.engine.items()]
    verdict = picked.verdict.replace("-", " ").upper()
    text.append(f"{verdict}: {plain(picked.recipe)}" if picked.recipe else verdict)
    text.append(f": {', '.join(weights)}" if weights else f"; {plain(picked.note)}", "" if weights else "dim")
    return text


def column(shown: Matrix, target: str, picked: Chosen | None, most: int) -> Text:
    """Return the target's column: its best `most` sources, with URIEL similarity and the methods that chose each."""
    values = [float(v) for v in shown.accuracy[:, shown.targets.index(target)]]
    order = sorted(range(len(values)), key=lambda i: (math.isnan(values[i]), -values[i], shown.sources[i]))
    names = [set_cell_size(plain(shown.sources[i]), 12) for i in order[:most]]
    text = Text(f"{'source':12}     %  URIEL  URE", "bold", no_wrap=True)
    for i, name in zip(order, names, strict=False):
        source, value = shown.sources[i], values[i]
        near = picked.near.get(source) if picked else None
        marks = "own" if source == target else picked.marks(source) if picked else ""
        number = "–" if math.isnan(value) else f"{100 * value:.1f}"
        text.append(f"\n{name} {number:>5}  {'' if near is None else f'{near:.2f}':>5}  {marks}", "not bold")
    if len(order) > most:
        text.append(f"\n… and {len(order) - most} more", "not bold")
    return text


def plain(text: str) -> str:
    """Return the text on one line, control characters escaped."""
    from merginguriel.text.tables import plain as shown

    return shown(text).replace("\n", " ").replace("\t", " ")
