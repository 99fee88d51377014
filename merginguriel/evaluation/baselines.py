"""Baselines of a merge (single models, plain average, majority class, untrained base) and its two goals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from merginguriel.errors import UsageError
from merginguriel.metrics.registry import find
from merginguriel.tasks.registry import TaskData

from .nxn import Matrix
from .significance import Comparison, compare

KINDS = {
    "target_alone": "the target's own model",
    "best_single_source": "the best source of the set, chosen on development data",
    "best_zero_shot": "the best model of another locale, of all there are, chosen on development data",
    "source_mean": "the mean of the sources",
    "average_merge": "the plain average of the same set",
    "untuned_merge": "the same merge before its weights and parameters were searched",
    "joint": "one model, trained on the sentences of many locales together",
    "majority_class": "the most frequent label",
    "pretrained_base": "the pretrained base with a fresh head",
}
OPTIONAL = ("untuned_merge", "joint")  # only where there was a search, or such a model
# What a merge is for: without the target's own model to beat whatever else could serve it, with it to beat that model.
# mode → (goal, kinds of baseline that it can be counted from, the strictest first)
GOALS = {
    "ExcTar": (1, ("best_zero_shot", "best_single_source")),
    "IncTar": (2, ("target_alone",)),
}


@dataclass(frozen=True)
class Baseline:
    """Baseline value on the target's test items.

    kind     one of KINDS
    value    in the metric's unit
    model    locale of the model, where the baseline is one model
    correct  statistics of the metric [n] or [n, S] where they are known, for paired tests; for accuracy bool
    note     how it was chosen
    """

    kind: str
    value: float
    n: int
    model: str | None = None
    correct: np.ndarray | None = None
    note: str = ""


def baselines(
    target: str,
    dev: Matrix,
    test: Matrix,
    sources: Sequence[str],
    data: TaskData | None = None,
    *,
    given: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Baseline]:
    """Return kind → baseline of a merge of `sources` for `target`, in the order of KINDS.

    `target_alone` is included if the matrices have the target's own model, `majority_class` if `data` is given;
    `lacking` names the missing ones.

    Args:
        dev: Matrix on development data, on which baselines are chosen. With models beyond the sources in both
            matrices, `best_zero_shot` is the best of all.
        test: Matrix on test data, on which they are scored.
        given: Kind → bool [n], which test items it gets right: baselines that need a model which this module cannot make
            (`average_merge`, `pretrained_base`).

    Raises:
        UsageError: No source, an unknown kind or a different number of items.
        IncompatibleError: A matrix lacks a pair.
    """
    if not sources:
        raise UsageError("a merge without sources has no baseline.")
    n = int(test.n[test.targets.index(target)]) if target in test.targets else 0
    found = {kind: handed_in(kind, right, n, test.metric) for kind, right in (given or {}).items()}
    if set(sources) - {target}:
        found["best_single_source"] = best_single_source(target, dev, test, sources)
    everyone = [name for name in dev.sources if name != target and measured(name, target, dev, test)]
    if everyone:
        best = best_single_source(target, dev, test, everyone)
        found["best_zero_shot"] = replace(best, kind="best_zero_shot")
    mean = float(test.column(target, sources).mean())
    found["source_mean"] = Baseline("source_mean", mean, n, note=f"mean of {len(sources)} sources on test")
    if target in test.sources:
        found["target_alone"] = Baseline(
            "target_alone", test.value(target, target), n, target, test.correct.get((target, target))
        )
    if data is not None:
        label = data.majority_label()
        gold = [item.label for item in data.test]
        always = [" ".join([label] * max(1, len(item.tokens))) for item in data.test]
        right = find(test.metric).statistics(gold, always)
        majority = handed_in("majority_class", right, len(right), test.metric)
        found["majority_class"] = replace(majority, note=f"always {label}")
    return {kind: found[kind] for kind in KINDS if kind in found}


def lacking(found: Mapping[str, Baseline]) -> list[str]:
    """Return the kinds of baseline that are missing, to be reported beside a result, without the optional ones."""
    return [kind for kind in KINDS if kind not in found and kind not in OPTIONAL]


@dataclass(frozen=True)
class Goal:
    """Goal 1: without the target's own model, beat the best zero-shot model; 2: with it, beat that model.

    state  `reached` or `missed` where the difference is outside noise, else `undecided`
    """

    number: int
    against: Baseline
    comparison: Comparison
    state: str

    @property
    def aim(self) -> str:
        """Return a description: `the best model of another locale, of all there are, chosen on development data (nb-NO)`."""
        return KINDS[self.against.kind] + (f" ({self.against.model})" if self.against.model else "")


def goal(
    mode: str,
    right: np.ndarray,
    found: Mapping[str, Baseline],
    groups: Sequence[str] | None = None,
    metric: str = "accuracy",
) -> Goal | None:
    """Compare a merge with the goal of its mode; None where the baseline was not scored item by item.

    mode   ExcTar or IncTar
    right  bool [n]: which test items the merge gets right; groups [n]: items of one are variants of each other
    """
    number, kinds = GOALS[mode]
    for kind in kinds:
        correct = found[kind].correct if kind in found else None
        if correct is not None:
            seen = compare(right, correct, groups=groups, metric=metric)
            state = "undecided" if not seen.significant else "reached" if seen.better else "missed"
            return Goal(number, found[kind], seen, state)
    return None


def handed_in(kind: str, right: np.ndarray, n: int, metric: str = "accuracy") -> Baseline:
    """Return the baseline of given statistics of its items. Raises UsageError for another kind or number of items."""
    if kind not in KINDS:
        raise UsageError(f"unknown baseline {kind!r}.", hint=f"Baselines are: {', '.join(KINDS)}.")
    if len(right) != n:
        raise UsageError(f"{kind} was scored on {len(right)} items, the others on {n}.")
    return Baseline(kind, find(metric).value(np.asarray(right)), n, None, np.asarray(right), KINDS[kind])


def measured(source: str, target: str, *matrices: Matrix) -> bool:
    """Return whether all these matrices have a value of `source` on `target`."""
    return all(
        source in m.sources
        and target in m.targets
        and not np.isnan(m.scores[m.sources.index(source), m.targets.index(target)])
        for m in matrices
    )


def best_single_source(target: str, dev: Matrix, test: Matrix, sources: Sequence[str]) -> Baseline:
    """Choose the source, other than the target, with the best value on dev, and score it on test.

    Chosen on test it would be the largest of k noisy numbers, and a merge would be compared with luck as well.
    Ties go to the alphabetically first.
    """
    others = sorted(set(sources) - {target})
    values = dev.column(target, others)
    best = others[int((find(dev.metric).sign * values).argmax())]
    return Baseline(
        "best_single_source",
        test.value(best, target),
        int(test.n[test.targets.index(target)]),
        best,
        test.correct.get((best, target)),
        f"{'highest' if find(dev.metric).higher_is_better else 'lowest'} of {len(others)} on dev, "
        f"{dev.value(best, target):.4f}",
    )
