"""What must a merge beat? The best single source, the mean of its sources, the target's own model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..tasks.base import TaskData
from .nxn import Matrix


@dataclass(frozen=True)
class Baseline:
    """kind as in result rows; value: accuracy on the target's test items, a fraction; n: those items.

    model    locale of the model, where the baseline is one model
    correct  bool [n] where it is known, for paired tests
    note     how it was chosen
    """

    kind: str
    value: float
    n: int
    model: str | None = None
    correct: np.ndarray | None = None
    note: str = ""


def baselines(
    target: str, dev: Matrix, test: Matrix, sources: Sequence[str], data: TaskData | None = None
) -> dict[str, Baseline]:
    """kind → baseline of a merge of `sources` for `target`.

    dev, test  matrices on the two splits: what is chosen is chosen on dev and scored on test
    data       of the target, for the majority class
    `target_alone` is there if the matrices have the target's own model, `majority_class` if `data` is given.
    Raises UsageError without a source, IncompatibleError where a matrix lacks a pair.
    """
    if not sources:
        raise UsageError("a merge without sources has no baseline.")
    n = int(test.n[test.targets.index(target)]) if target in test.targets else 0
    found = (
        {"best_single_source": best_single_source(target, dev, test, sources)}
        if set(sources) - {target}
        else {}
    )
    values = test.column(target, sources)
    found["source_mean"] = Baseline(
        "source_mean", float(values.mean()), n, note=f"mean of {len(values)} sources on test"
    )
    if target in test.sources:
        found["target_alone"] = Baseline(
            "target_alone", test.value(target, target), n, target, test.correct.get((target, target))
        )
    if data is not None:
        label = data.majority_label()
        right = np.array([item.label == label for item in data.test], dtype=bool)
        found["majority_class"] = Baseline(
            "majority_class", float(right.mean()), len(right), None, right, f"always {label}"
        )
    return found


def best_single_source(target: str, dev: Matrix, test: Matrix, sources: Sequence[str]) -> Baseline:
    """The source, other than the target itself, with the highest dev accuracy, scored on test.

    Chosen on test it would be the largest of k noisy numbers, and a merge would have to beat luck as well.
    Of equals, the alphabetically first.
    """
    others = sorted(set(sources) - {target})
    values = dev.column(target, others)
    best = others[int(values.argmax())]
    return Baseline(
        "best_single_source",
        test.value(best, target),
        int(test.n[test.targets.index(target)]),
        best,
        test.correct.get((best, target)),
        f"highest of {len(others)} on dev, {values.max():.4f}",
    )
