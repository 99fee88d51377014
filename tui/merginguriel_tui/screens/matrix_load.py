"""What does the matrix screen read, off the UI thread? A matrix in an order, and all that is drawn of it."""

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
    from merginguriel.loop.matrix_choice import Chosen
    from merginguriel.study.matrix_store import Stored

ORDERS = ("name", "family", "script", "similarity", "value")  # stored.ORDERS, before it is imported
NEEDS_TARGET = ("similarity", "value")


@dataclass(frozen=True)
class Wish:
    """What to show. target: where the cursor goes; about: the target that an order by similarity or value is about."""

    context: str | None = None
    split: str | None = None
    order: str = "name"
    target: str | None = None
    about: str | None = None

    def command(self, target: str | None = None) -> str:
        """The `mu` command that prints this, asked about the target under the cursor."""
        named = self.about if self.order in NEEDS_TARGET else target or self.target
        words = ["mu", "matrix", self.context or "", *(["--split", self.split] if self.split else [])]
        words += ["--sort", self.order] if self.order != "name" else []
        words += ["--target", named] if named else []
        return shlex.join(word for word in words if word)


@dataclass(frozen=True)
class Look:
    """A matrix as it is shown; copies: how → text."""

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
    """`sw-KE`, `home/e5-small`, `home/e5-small dev sw-KE`, in any order. Raises UsageError naming near locales."""
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
    """Raises MuError where there is no such matrix, or a file cannot be read."""
    from merginguriel.knowledge.base import load
    from merginguriel.loop import matrix_choice
    from merginguriel.study import matrix_store

    knowledge = knowledge or load(space)
    one = matrix_store.find(space, knowledge, context=wish.context, split=wish.split, target=wish.target)
    whole = matrix_store.read(knowledge, one)
    for name in (wish.target, wish.about):
        if name and name not in whole.targets:
            raise UsageError(f"{one.name} has no column {name}.", mend=f"It has: {', '.join(whole.targets)}")
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
        matrix_choice.majority(space, knowledge, one.context),
        copies(shown),
    )


def chosen(space: Workspace, seen: Look, target: str) -> Chosen:
    from merginguriel.loop import matrix_choice

    return matrix_choice.chosen(space, seen.knowledge, seen.one, seen.whole, target)


def picture(shown: Matrix) -> Picture:
    """Every cell's text and shade, so that drawing a line computes nothing."""
    import numpy as np

    from merginguriel.evaluation import heatmap

    low, high = heatmap.span(shown.scores)
    best = heatmap.column_best(shown.scores)
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
    """The whole matrix as text, as a Markdown table, and as the CSV that `mu nxn` writes."""
    from merginguriel.evaluation import heatmap, nxn

    lines = [["source", *shown.targets], ["---", *("---:" for _ in shown.targets)]]
    lines += [
        [source, *("" if value != value else f"{100 * value:.1f}" for value in row)]
        for source, row in zip(shown.sources, shown.scores.tolist(), strict=True)
    ]
    table = ("| " + " | ".join(plain(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return {
        "text": plain_lines(heatmap.render(shown, width=10**6)),
        "markdown": "\n".join(table) + "\n",
        "csv": nxn.as_csv(shown),
    }


def plain_lines(text: str) -> str:
    from merginguriel.cli.common import plain as shown

    return shown(text)
