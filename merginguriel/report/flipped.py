"""Test items that one of two merges answers correctly and the other does not, with their sentences, and counts per label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from merginguriel.errors import UsageError
from merginguriel.runs.resolve import study_of
from merginguriel.runs.run_store import Run

from .run_comparison import items_of
from .scored_arms import MERGE


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


def flipped(first: Run, second: Run) -> tuple[list[Flip], list[LabelCount]]:
    """Return the items on which two merges differ, gains first, and the counts per label, the largest change first.

    Raises:
        UsageError: They have no test items in common, or a metric whose items are not right or wrong.
        MuError: The sentences are not available here.
    """
    one, two = items_of(first), items_of(second)
    if one is None or two is None or one.ids != two.ids or first.config.target != second.config.target:
        raise UsageError(
            "the two runs have no test items in common.", hint="Compare two merges for one target."
        )
    before, after = one.arms[MERGE], two.arms[MERGE]
    if before.dtype != bool or after.dtype != bool:
        raise UsageError("items of this metric are not right or wrong, so none can flip.")
    items = {
        item.id: item for item in study_of(first.config, first.space).data(str(first.config.target)).test
    }
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
    return (
        sorted(flips, key=lambda flip: not flip.gained),
        sorted(counts, key=lambda count: (-abs(count.change), count.label)),
    )
