"""Data of the matrix screen, read in threads: a matrix in an order, ready to draw."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from merginguriel.errors import UsageError
from merginguriel.workspace import Workspace
from merginguriel_tui.widgets.heat import STEPS, Picture

from .matrix_cell import plain

if TYPE_CHECKING:
    from merginguriel.evaluation.nxn import Matrix
    from merginguriel.knowledge.base import Knowledge
    from merginguriel.study.matrix_store import Chosen, Stored

ORDERS = (
    "name",
    "family",
    "script",
    "similarity",
    "value",
)  # those of study.matrix_store, which is imported later
NEEDS_TARGET = ("similarity", "value")


@dataclass(frozen=True)
class Wish:
    """What to show.

    Attributes:
        context: Task and base model; None: the first.
        split: Data that was scored; None: the first.
        order: One of ORDERS.
        target: Target for the cursor.
        about: Target that an order by similarity or value refers to.
    """

    context: str | None = None
    split: str | None = None
    order: str = "name"
    target: str | None = None
    about: str | None = None

    def command(self, target: str | None = None) -> str:
        """Return the `mu` command that prints this, for the target under the cursor."""
        named = self.about if self.order in NEEDS_TARGET else target or self.target
        words = ["mu", "matrix", self.context or "", *(["--split", self.split] if self.split else [])]
        words += ["--sort", self.order] if self.order != "name" else []
        words += ["--target", named] if named else []
        return shlex.join(word for word in words if word)


@dataclass(frozen=True)
class Look:
    """A matrix as shown, with its copies (how → text)."""

    wish: Wish
    one: Stored
    there: tuple[Stored, ...]
    knowledge: Knowledge
    whole: Matrix
    shown: Matrix
    picture: Picture
    commonest: Mapping[str, float]
    copies: Mapping[str, str]


def wish_of(words: tuple[str, ...]) -> Wish:
    """Parse `sw-KE`, `home/e5-small`, `home/e5-small dev sw-KE`, in any order.

    Raises:
        UsageError: A word is not a context, split or locale.
    """
    from merginguriel import locales

    given: dict[str, Any] = {}
    for word in words:
        if "/" in word:
            given["context"] = word
        elif word == "log" or word.removesuffix("-bf16").rpartition("-")[2] in ("test", "dev", "train"):
            given["split"] = word
        else:
            given["target"] = locales.get(word).tag
    return Wish(**given)


def look(space: Workspace, wish: Wish, knowledge: Knowledge | None = None) -> Look:
    """Read a matrix.

    Raises:
        MuError: No such matrix, or a file cannot be read.
    """
    from merginguriel.knowledge.base import load
    from merginguriel.study import matrix_store

    knowledge = knowledge or load(space)
    one = matrix_store.find(space, knowledge, context=wish.context, split=wish.split, target=wish.target)
    whole = matrix_store.read(knowledge, one)
    for name in (wish.target, wish.about):
        if name and name not in whole.targets:
            raise UsageError(
                f"unknown target {name} in {one.name}.", mend=f"Targets: {', '.join(whole.targets)}"
            )
    about = (wish.about or wish.target or whole.targets[0]) if wish.order in NEEDS_TARGET else None
    shown = matrix_store.ordered(whole, wish.order, about)
    asked = Wish(one.context, one.split, wish.order, wish.target, about)
    return Look(
        asked,
        one,
        tuple(matrix_store.stored(space, knowledge)),
        knowledge,
        whole,
        shown,
        picture(shown),
        matrix_store.majority(space, knowledge, one.context),
        copies(shown),
    )


def chosen(space: Workspace, seen: Look, target: str) -> Chosen:
    """Return the sources that each method would choose for the target."""
    from merginguriel.study import matrix_store

    return matrix_store.chosen(space, seen.knowledge, seen.one, seen.whole, target)


def picture(shown: Matrix) -> Picture:
    """Return every cell's text and shade, so that drawing a line computes nothing."""
    import numpy as np

    from merginguriel.evaluation import heatmap

    low, high = heatmap.span(shown.accuracy)
    best = heatmap.column_best(shown.accuracy)
    known = ~np.isnan(shown.accuracy)
    scaled = np.clip((np.where(known, shown.accuracy, low) - low) / (high - low), 0, 1) * (STEPS - 1)
    shades = np.where(known, scaled.astype(np.int64), -1)
    texts = tuple(
        tuple(
            heatmap.number(value, source == target, value == top)
            for value, target, top in zip(map(float, row), shown.targets, best, strict=True)
        )
        for source, row in zip(shown.sources, shown.accuracy, strict=True)
    )
    return Picture(
        shown.sources,
        shown.targets,
        tuple(map(plain, shown.sources)),
        tuple(map(plain, shown.targets)),
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
        for source, row in zip(shown.sources, shown.accuracy.tolist(), strict=True)
    ]
    table = ("| " + " | ".join(plain(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return {
        "text": plain_lines(heatmap.render(shown, width=10**6)),
        "markdown": "\n".join(table) + "\n",
        "csv": nxn.as_csv(shown),
    }


def plain_lines(text: str) -> str:
    """Return the text with control characters escaped."""
    from merginguriel.text.tables import plain as shown

    return shown(text)
