"""What is to be said of the cell under the cursor, and of its target? As text for the pane beside the matrix."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.cells import set_cell_size
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from merginguriel.evaluation.nxn import Matrix
    from merginguriel.loop.matrix_choice import Chosen


def cell(shown: Matrix, source: str, target: str, commonest: Mapping[str, float]) -> Text:
    """Source, target, value, rank in its column, the target's own model, n, majority class; one or two lines."""
    from merginguriel.study.matrix_store import rank

    value = float(shown.scores[shown.sources.index(source), shown.targets.index(target)])
    n = int(shown.n[shown.targets.index(target)])
    said = Text()
    said.append(f"{plain(source)} on {plain(target)}  ", "bold")
    if math.isnan(value):
        said.append("not measured")
    else:
        place, of = rank(shown, source, target)
        said.append(f"{100 * value:.2f}%", "bold")
        said.append(f"  rank {place} of {of}")
    if source == target:
        said.append("  its own model")
    said.append(f"\nn = {n:,}" if n else "\nn not known")
    if target in commonest:
        said.append(f"  majority class {100 * commonest[target]:.1f}%")
    if source != target and target in shown.sources:
        own = float(shown.scores[shown.sources.index(target), shown.targets.index(target)])
        if not math.isnan(own):
            said.append(f"  own model {100 * own:.1f}%")
    return said


def choices(picked: Chosen | None) -> Text:
    """Whom URIEL, REAL and the engine would take for the target: three lines."""
    if picked is None:
        return Text("URIEL …\nREAL …\nadvice …", "dim")
    said = Text()
    lines = (
        ("U", "URIEL", [f"{plain(s)} {picked.near[s]:.2f}" for s in picked.by_uriel], "no features of it"),
        ("R", "REAL", [f"{plain(s)} {100 * picked.measured[s]:.1f}" for s in picked.by_real], "not measured"),
    )
    for letter, name, named, none in lines:
        said.append(f"{letter} ", "bold")
        said.append(f"{name}  {', '.join(named) or none}")
        # How far REAL may be trusted: on development data it was measured for choosing, on others it was not.
        said.append(f"  by {plain(picked.real_from)}\n" if letter == "R" and named else "\n", "dim")
    said.append("E ", "bold")
    weights = [plain(s) + ("" if w is None else f" {w:.2f}") for s, w in picked.engine.items()]
    verdict = picked.verdict.replace("-", " ").upper()
    said.append(f"{verdict}: {plain(picked.recipe)}" if picked.recipe else verdict)
    said.append(f": {', '.join(weights)}" if weights else f"; {plain(picked.note)}", "" if weights else "dim")
    return said


def column(shown: Matrix, target: str, picked: Chosen | None, most: int) -> Text:
    """The target's column, the best `most` sources, with URIEL similarity and who would take each."""
    values = [float(v) for v in shown.scores[:, shown.targets.index(target)]]
    order = sorted(range(len(values)), key=lambda i: (math.isnan(values[i]), -values[i], shown.sources[i]))
    names = [set_cell_size(plain(shown.sources[i]), 12) for i in order[:most]]
    said = Text(f"{'source':12}     %  URIEL  URE", "bold", no_wrap=True)
    for i, name in zip(order, names, strict=False):
        source, value = shown.sources[i], values[i]
        near = picked.near.get(source) if picked else None
        marks = "own" if source == target else picked.marks(source) if picked else ""
        number = "–" if math.isnan(value) else f"{100 * value:.1f}"
        said.append(f"\n{name} {number:>5}  {'' if near is None else f'{near:.2f}':>5}  {marks}", "not bold")
    if len(order) > most:
        said.append(f"\n… and {len(order) - most} more", "not bold")
    return said


def plain(text: str) -> str:
    from merginguriel.cli.common import plain as shown

    return shown(text).replace("\n", " ").replace("\t", " ")
