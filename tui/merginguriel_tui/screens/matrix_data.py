"""Data of the matrix screen, read in threads: a matrix ready to draw, and the text of the pane beside it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import set_cell_size
from rich.text import Text

from merginguriel.errors import UsageError
from merginguriel.metrics.registry import find
from merginguriel.text.tables import plain
from merginguriel.workspace import Workspace
from merginguriel_tui.widgets.heat import STEPS, HeatMap

if TYPE_CHECKING:
    from merginguriel.evaluation.nxn import Matrix
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.loop.matrix_choice import Chosen
    from merginguriel.study.matrix_store import StoredMatrix

# The orders of study.matrix_store, which is imported later.
ORDERS = ("name", "family", "script", "similarity", "value")
NEEDS_TARGET = ("similarity", "value")


@dataclass(frozen=True)
class Wish:
    """What to show."""

    context: str | None = None  # task and base model; None: the first
    split: str | None = None  # data that was scored; None: the first
    order: str = "name"  # one of ORDERS
    target: str | None = None  # target for the cursor
    about: str | None = None  # target that an order by similarity or value refers to

    def command(self, target: str | None = None) -> str:
        """Return the `mu` command that prints this, for the target under the cursor."""
        named = self.about if self.order in NEEDS_TARGET else target or self.target
        words = ["mu", "matrix", self.context or "", *(["--split", self.split] if self.split else [])]
        words += ["--sort", self.order] if self.order != "name" else []
        words += ["--target", named] if named else []
        return shlex.join(word for word in words if word)


@dataclass(frozen=True)
class MatrixView:
    """A matrix as shown, with its copies (how → text)."""

    wish: Wish
    one: StoredMatrix
    there: tuple[StoredMatrix, ...]
    knowledge: Knowledge
    whole: Matrix
    shown: Matrix
    picture: HeatMap
    commonest: Mapping[str, float]
    copies: Mapping[str, str]

    @property
    def of_pairs(self) -> bool:
        """Whether rows are embedders and columns pairs of languages, so that no sources are chosen."""
        from merginguriel.study.matrix_store import of_pairs

        return of_pairs(self.one.context)


def wish_of(words: tuple[str, ...]) -> Wish:
    """Parse `sw-KE`, `home/e5-small`, `home/e5-small dev sw-KE`, `retrieval/home ko-en`, in any order.

    Raises:
        UsageError: A word is not a context, split or locale.
    """
    from merginguriel import locales

    given: dict[str, Any] = {}
    for word in words:
        if "/" in word:
            given["context"] = word
        elif word.removesuffix("-bf16").rpartition("-")[2] in ("test", "dev", "train", "log"):
            given["split"] = word
        else:
            of_pairs = any(one.startswith("retrieval/") for one in words)
            given["target"] = word if of_pairs else locales.get(word).tag
    return Wish(**given)


def look(space: Workspace, wish: Wish, knowledge: Knowledge | None = None) -> MatrixView:
    """Read a matrix.

    Raises:
        MuError: No such matrix, or a file cannot be read.
    """
    from merginguriel.knowledge.base import load
    from merginguriel.loop import matrix_choice
    from merginguriel.study import matrix_store

    knowledge = knowledge or load(space)
    one = matrix_store.find(space, knowledge, context=wish.context, split=wish.split, target=wish.target)
    whole = matrix_store.read(knowledge, one)
    for name in (wish.target, wish.about):
        if name and name not in whole.targets:
            raise UsageError(
                f"unknown target {name} in {one.name}.", hint=f"Targets: {', '.join(whole.targets)}"
            )
    about = (wish.about or wish.target or whole.targets[0]) if wish.order in NEEDS_TARGET else None
    shown = matrix_store.ordered(whole, wish.order, about)
    asked = Wish(one.context, one.split, wish.order, wish.target, about)
    return MatrixView(
        asked,
        one,
        tuple(matrix_store.stored(space, knowledge)),
        knowledge,
        whole,
        shown,
        picture(shown),
        matrix_choice.majority(space, knowledge, one.context),
        copies(shown),
    )


def chosen(space: Workspace, seen: MatrixView, target: str) -> Chosen:
    """Return the sources that each method would choose for the target."""
    from merginguriel.loop import matrix_choice

    return matrix_choice.chosen(space, seen.knowledge, seen.one, seen.whole, target)


def picture(shown: Matrix) -> HeatMap:
    """Return every cell's text and shade, so that drawing a line computes nothing."""
    import numpy as np

    from merginguriel.evaluation import heatmap

    low, high = heatmap.span(shown.scores)
    best = heatmap.column_best(shown)
    known = ~np.isnan(shown.scores)
    scaled = np.clip((np.where(known, shown.scores, low) - low) / (high - low), 0, 1) * (STEPS - 1)
    shades = np.where(known, scaled.astype(np.int64), -1)
    texts = tuple(
        tuple(
            heatmap.number(value, source == target, value == top)
            for value, target, top in zip(map(float, row), shown.targets, best, strict=True)
        )
        for source, row in zip(shown.sources, shown.scores, strict=True)
    )
    return HeatMap(
        shown.sources,
        shown.targets,
        tuple(map(one_line, shown.sources)),
        tuple(map(one_line, shown.targets)),
        texts,
        tuple(tuple(row) for row in shades.tolist()),
        {target: j for j, target in enumerate(shown.targets)},
    )


def copies(shown: Matrix) -> dict[str, str]:
    """Return the matrix as text, Markdown table, and CSV as `mu nxn` writes it."""
    from merginguriel.evaluation import heatmap, nxn

    lines = [["source", *shown.targets], ["---", *("---:" for _ in shown.targets)]]
    lines += [
        [source, *("" if value != value else f"{100 * value:.1f}" for value in row)]
        for source, row in zip(shown.sources, shown.scores.tolist(), strict=True)
    ]
    table = ("| " + " | ".join(one_line(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return {
        "text": plain(heatmap.render(shown, width=10**6)),
        "markdown": "\n".join(table) + "\n",
        "csv": nxn.as_csv(shown),
    }


def cell(shown: Matrix, source: str, target: str, commonest: Mapping[str, float]) -> Text:
    """Describe a cell: value, rank in its column, n, majority class, the target's own model; one or two lines."""
    from merginguriel.study.matrix_store import rank

    show = find(shown.metric).unit.show
    value = float(shown.scores[shown.sources.index(source), shown.targets.index(target)])
    n = int(shown.n[shown.targets.index(target)])
    text = Text()
    text.append(f"{one_line(source)} on {one_line(target)}  ", "bold")
    if math.isnan(value):
        text.append("not measured")
    else:
        place, of = rank(shown, source, target)
        text.append(show(value), "bold")
        text.append(f"  rank {place} of {of}")
    if source == target:
        text.append("  its own model")
    text.append(f"\nn = {n:,}" if n else "\nn unknown")
    if target in commonest:
        text.append(f"  majority class {show(commonest[target], 1)}")
    if source != target and target in shown.sources:
        own = float(shown.scores[shown.sources.index(target), shown.targets.index(target)])
        if not math.isnan(own):
            text.append(f"  own model {show(own, 1)}")
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
            [f"{one_line(s)} {picked.near[s]:.2f}" for s in picked.by_uriel],
            "no typological features",
        ),
        (
            "R",
            "REAL",
            [f"{one_line(s)} {100 * picked.measured[s]:.1f}" for s in picked.by_real],
            "not measured",
        ),
    )
    for letter, name, named, none in lines:
        text.append(f"{letter} ", "bold")
        text.append(f"{name}  {', '.join(named) or none}")
        # The data behind REAL: development data may be used for choosing, test data may not.
        text.append(f"  by {one_line(picked.real_from)}\n" if letter == "R" and named else "\n", "dim")
    text.append("E ", "bold")
    weights = [one_line(s) + ("" if w is None else f" {w:.2f}") for s, w in picked.engine.items()]
    verdict = picked.verdict.replace("-", " ").upper()
    text.append(f"{verdict}: {one_line(picked.recipe)}" if picked.recipe else verdict)
    text.append(
        f": {', '.join(weights)}" if weights else f"; {one_line(picked.note)}", "" if weights else "dim"
    )
    return text


def column(shown: Matrix, target: str, picked: Chosen | None, most: int, *, of_pairs: bool = False) -> Text:
    """Return the target's column: its best `most` sources; of locales also the similarity and who chose each."""
    values = [float(v) for v in shown.scores[:, shown.targets.index(target)]]
    order = sorted(range(len(values)), key=lambda i: (math.isnan(values[i]), -values[i], shown.sources[i]))
    width = 32 if of_pairs else 12
    names = [set_cell_size(one_line(shown.sources[i]), width) for i in order[:most]]
    unit = "%" if find(shown.metric).unit.percent else "×100"
    text = Text(f"{'source':{width}}  {unit:>4}{'' if of_pairs else '  URIEL  URE'}", "bold", no_wrap=True)
    for i, name in zip(order, names, strict=False):
        source, value = shown.sources[i], values[i]
        near = picked.near.get(source) if picked else None
        marks = "own" if source == target else picked.marks(source) if picked else ""
        number = "–" if math.isnan(value) else f"{100 * value:.1f}"
        text.append(f"\n{name} {number:>5}  {'' if near is None else f'{near:.2f}':>5}  {marks}", "not bold")
    if len(order) > most:
        text.append(f"\n… and {len(order) - most} more", "not bold")
    return text


def one_line(text: str) -> str:
    """Return the text on one line, control characters escaped."""
    return plain(text).replace("\n", " ").replace("\t", " ")
