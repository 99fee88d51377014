"""Test items that one of two merges answers correctly and the other does not, counts per label, and ranks of queries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from merginguriel.errors import UsageError
from merginguriel.runs import run_store
from merginguriel.runs.resolve import study_of
from merginguriel.runs.run_store import Run
from merginguriel.study.item_file import RECIPROCAL, StoredItems

from .comparable import ResolvedRun, StudyModel
from .run_comparison import best_of, items_of
from .scored_arms import MERGE

BEYOND = 11  # rank of a query whose first relevant document is not among the first ten


@dataclass(frozen=True)
class Flip:
    """An item. `gained`: the second merge is right and the first wrong, else the reverse."""

    id: str
    text: str
    label: str
    gained: bool


@dataclass(frozen=True)
class LabelCount:
    """Items of a label: how many there are, and how many each merge answers correctly."""

    label: str
    n: int
    first: int
    second: int

    @property
    def change(self) -> int:
        """Items that the second merge answers correctly more than the first."""
        return self.second - self.first


@dataclass(frozen=True)
class RankChange:
    """A query in a direction of search, and the rank of its first relevant document by each model; BEYOND ten."""

    direction: str
    text: str
    first: float
    second: float

    @property
    def change(self) -> float:
        """Ranks that the second model puts the document higher."""
        return self.first - self.second


@dataclass(frozen=True)
class Flips:
    """Items on which two merges differ, gains first, and labels, the largest change first; or ranks of `queries`, likewise."""

    items: tuple[Flip, ...] = ()
    labels: tuple[LabelCount, ...] = ()
    ranks: tuple[RankChange, ...] = ()
    queries: int = 0


def flipped(first: Run | ResolvedRun | StudyModel, second: Run | ResolvedRun | StudyModel) -> Flips:
    """Return the items on which two merges differ.

    Raises:
        UsageError: They have no test items in common, or a metric whose items are not right or wrong.
        MuError: The sentences are not available here.
    """
    run = first if isinstance(first, Run) else first.run
    one, two = stored(first), stored(second)
    if one is None or two is None or one.ids != two.ids or first.config.target != second.config.target:
        raise UsageError(
            "the two runs have no test items in common.", hint="Compare two merges for one target."
        )
    if RECIPROCAL in one.arms and RECIPROCAL in two.arms:
        return Flips(ranks=rank_changes(run, one, two), queries=len(one.ids))
    before, after = one.arms[MERGE], two.arms[MERGE]
    if before.dtype != bool or after.dtype != bool:
        raise UsageError("items of this metric are not right or wrong, so none can flip.")
    items = {item.id: item for item in study_of(run.config, run.space).data(str(run.config.target)).test}
    known = [items.get(name) for name in one.ids]
    flips = [
        Flip(name, item.text if item else "", item.label if item else "", bool(after[i]))
        for i, (name, item) in enumerate(zip(one.ids, known, strict=True))
        if before[i] != after[i]
    ]
    labels = np.array([item.label if item else "" for item in known])
    counts = [
        LabelCount(str(label), int(at.sum()), int(before[at].sum()), int(after[at].sum()))
        for label in np.unique(labels)
        if label and (at := labels == label).any()
    ]
    return Flips(
        tuple(sorted(flips, key=lambda flip: not flip.gained)),
        tuple(sorted(counts, key=lambda count: (-abs(count.change), count.label))),
    )


def stored(one: Run | ResolvedRun | StudyModel) -> StoredItems | None:
    """Return the items of what is compared."""
    if isinstance(one, StudyModel):
        return items_of(one.run, one.model)
    run = one if isinstance(one, Run) else one.run
    return items_of(run, best_of(run_store.result(run)) if run.config.kind == "compose" else None)


def rank_changes(run: Run, one: StoredItems, two: StoredItems) -> tuple[RankChange, ...]:
    """Return the queries whose rank differs. Raises MuError if the text of the study is not available."""
    from merginguriel.tasks import parallel

    config = run.config
    text = parallel.load(config.data or "home", *config.locales, seed=config.seed, size=config.compose.size)
    names = dict(zip(parallel.languages(*text.locales), text.locales, strict=True))
    ranks = [
        np.where(items.arms[RECIPROCAL] > 0, 1 / np.maximum(items.arms[RECIPROCAL], 1 / BEYOND), BEYOND)
        for items in (one, two)
    ]
    found = []
    for id, first, second in zip(one.ids, *ranks, strict=True):
        direction, _, query = id.partition(" ")
        locale = next(locale for name, locale in names.items() if direction.startswith(f"{name}-"))
        if first != second:
            found.append(RankChange(direction, text.queries[locale].get(query, query), first, second))
    return tuple(sorted(found, key=lambda one: -abs(one.change)))
