"""Sentences of a report on goals, methods, rankings, settings, ensembles and merging effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from merginguriel import stats
from merginguriel.evaluation.nxn import Matrix
from merginguriel.metrics.registry import Metric, find
from merginguriel.text.differences import (
    ABOVE,
    ALPHA,
    BELOW,
    NOISE,
    UNTESTED,
    Difference,
    cell_text,
    difference_words,
    kind_words,
    number,
)
from merginguriel.text.numbers import count, listed

from .comparisons import TargetResult
from .contrasts import FEWEST, Contrast
from .method_ranks import Ranking
from .scored_arms import ENSEMBLE, MERGE

STANDINGS = ("reached", "missed", "undecided", UNTESTED)


def tally(differences: Sequence[Difference], words: Mapping[str, str] | None = None) -> str:
    """Count the verdicts: `3 above, 0 below, 2 within noise`; the last two where there are any.

    Args:
        differences: Of one family of comparisons.
        words: Verdict → what to call it instead.
    """
    verdicts = [d.verdict for d in differences]
    shown = [v for v in (ABOVE, BELOW, NOISE, UNTESTED) if v in (ABOVE, BELOW) or v in verdicts]
    return ", ".join(f"{verdicts.count(v)} {(words or {}).get(v, v)}" for v in shown)


def holm_words(differences: Sequence[Difference]) -> str:
    """Return ` (Holm over 96 comparisons)`; empty where a single comparison was tested."""
    family = max((d.family for d in differences if d.p_holm is not None), default=1)
    return f" (Holm over {count(family, 'comparison')})" if family > 1 else ""


# goals


def to_goal(cells: Sequence[TargetResult]) -> list[Difference]:
    """Return the differences of cells to the baseline of their goal."""
    return [cell.against[cell.goal] for cell in cells if cell.goal]


def better_and_worse(metric: Metric) -> tuple[str, str]:
    """Return the verdicts of a gain and of a loss: of an error rate, BELOW and ABOVE."""
    return (ABOVE, BELOW) if metric.higher_is_better else (BELOW, ABOVE)


def goal_standing(cells: Sequence[TargetResult]) -> str:
    """Return one of STANDINGS for the merges of one target that have the baseline of their goal."""
    verdicts = [d.verdict for d in to_goal(cells)]
    better, worse = better_and_worse(cells[0].metric)
    if better in verdicts:
        return "reached"
    if set(verdicts) <= {UNTESTED}:
        return UNTESTED
    return "missed" if set(verdicts) == {worse} else "undecided"


def goal_cell(cells: Sequence[TargetResult]) -> str:
    """Format a goal on one target for a table: the verdicts and the best merge."""
    if not cells:
        return "not tried"
    best = max(cells, key=lambda c: (c.metric.sign * c.against[str(c.goal)].value, c.label))
    highest = f"{best.metric.superlative} {best.label} {cell_text(best.against[str(best.goal)])}"
    return f"{goal_standing(cells)}: {tally(to_goal(cells))}; {highest}"


def goal_sentence(mode: str, goal: int, kind: str, by_target: Mapping[str, Sequence[TargetResult]]) -> str:
    """Return the standing of goal 1 or 2 over all targets. Targets without a test are named, not counted."""
    targets: dict[str, list[str]] = {standing: [] for standing in STANDINGS}
    for target, cells in by_target.items():
        targets[goal_standing(cells)].append(target)
    tested = len(by_target) - len(targets[UNTESTED])
    every = [d for cells in by_target.values() for d in to_goal(cells)]
    better, worse = better_and_worse(next(iter(by_target.values()))[0].metric)
    start = f"Goal {goal} ({mode} {better} the {kind_words(kind)})"
    if not tested:
        return f"{start}: untested on {count(len(by_target), 'target')}; the rows carry no noise."
    text = f"{start}: reached on {len(targets['reached'])} of {count(tested, 'target')}"
    if targets["reached"]:
        text += f" ({listed(targets['reached'])})"
    if targets["missed"]:
        text += f"; every merge {worse}, outside noise, on {listed(targets['missed'])}"
    if targets["undecided"]:
        text += f"; inconclusive on {listed(targets['undecided'])}"
    if targets[UNTESTED]:
        text += f"; untested on {listed(targets[UNTESTED])}"
    return f"{text}{holm_words(every)}."


# over targets


def methods_sentence(mode: str, kind: str, contrasts: Sequence[Contrast], metric: Metric) -> str:
    """Return how many merges and ensembles are above and below their baseline over targets, and the best mean."""
    most = max(len(c.by_target) for c in contrasts)
    best = next(c for c in contrasts if len(c.by_target) == most)
    parts = []
    for of in (MERGE, ENSEMBLE):
        every = [c.difference for c in contrasts if c.key == of]
        parts += [f"{count(len(every), of)}: {tally(every)}{holm_words(every)}"] if every else []
    return (
        f"Over targets against the {kind_words(kind)} ({mode}): {'; '.join(parts)}. {metric.superlative.capitalize()} mean on "
        f"{count(most, 'target')}: {best.a}, {difference_words(best.difference)}."
    )


def settings_sentence(contrasts: Sequence[Contrast]) -> str:
    """Return what settings change over targets: the contrasts outside noise one by one, the rest counted."""
    outside = [c for c in contrasts if c.difference.verdict in (ABOVE, BELOW)]
    each = [f"{c.key} {c.a} against {c.b} {difference_words(c.difference)}" for c in outside[:3]]
    text = f"Settings, {count(len(contrasts), 'comparison')} over targets: {tally([c.difference for c in contrasts])}"
    return f"{text}. {'; '.join(each)}." if each else f"{text}."


def ensembles_sentence(contrasts: Sequence[Contrast]) -> str:
    """Return how merges compare with ensembles of the same sources over targets."""
    every = [c.difference for c in contrasts]
    return (
        f"Merge against ensemble of the same sources, {count(len(contrasts), 'pair')} on {FEWEST} targets or more: "
        f"{tally(every)}{holm_words(every)}."
    )


def effect_sentence(every: Sequence[Difference], over: Difference, metric: Metric) -> str:
    """Return how many merges are above and below the mean of their sources.

    Args:
        every: Merging effect of every merge.
        over: Mean of the targets' mean effects.
    """
    tested = [d for d in every if d.verdict != UNTESTED]
    start = "Merging effect (merge − mean of its sources)"
    if tested:
        better, worse = better_and_worse(metric)
        words = {better: "synergy", worse: "interference"}
        text = f"{start}, {count(len(every), 'merge')}: {tally(every, words)}{holm_words(every)}."
    else:
        text = f"{start}: untested on each of {count(len(every), 'merge')}; rows carry no noise of a mean of models."
    if over.p is not None:
        text += f" Mean over {count(over.units or 0, 'target')}: {difference_words(over)}."
    return text


def correlation_sentence(feature: str, rho: float, p: float, targets: int) -> str:
    """Return the rank correlation of the targets' mean merging effect with a feature."""
    return (
        f"Rank correlation of a target's mean effect with the {feature}: {number(rho, 2)} over "
        f"{count(targets, 'target')}, {stats.p_text(p)}: {'outside' if p < ALPHA else 'within'} noise."
    )


# ranks and matrices


def ranking_sentences(r: Ranking) -> list[str]:
    """Return the results of Friedman's, Nemenyi's and Wilcoxon's tests, and what they could not have shown."""
    n, k = len(r.targets), len(r.methods)
    bracketed = " (the baseline in brackets among them)" if any(m.startswith("[") for m in r.methods) else ""
    differ = r.p < ALPHA
    friedman = (
        f"Friedman's test over {count(k, 'method')}{bracketed} and {count(n, 'target')}: χ² = {r.chi2:.1f}, {stats.p_text(r.p)} "
        f"(Iman and Davenport's F: {stats.p_text(r.p_f)}): the methods "
        + ("do not all rank alike." if differ else "rank alike within noise.")
    )
    near = [m for m, mean in zip(r.methods[1:], r.mean[1:], strict=True) if mean - r.mean[0] < r.critical]
    apart = k - 1 - len(near) if differ else 0
    nemenyi = (
        f"Lowest mean rank: {r.methods[0]}, {r.mean[0]:.2f}. Nemenyi's critical difference is {r.critical:.2f} ranks: "
        + (
            f"{count(apart, 'method')} rank{'s' if apart == 1 else ''} apart from it."
            if apart
            else "within noise, no method ranks apart from it."
        )
    )
    if apart and near:
        nemenyi += f" Not apart: {listed(near, 4)}."
    smallest = 2.0 ** (1 - n)
    pairs = count(len(r.pairs), "pair")
    wilcoxon = (
        f"Wilcoxon's test with Holm cannot separate any of {pairs} with {count(n, 'target')}: the smallest p that it can "
        f"give is {smallest:.3g}."
        if smallest * len(r.pairs) >= ALPHA
        else f"Wilcoxon's test separates {sum(pair.p_holm < ALPHA for pair in r.pairs)} of {pairs} (Holm over all of them)."
    )
    return [friedman, nemenyi, wilcoxon]


def matrix_sentence(matrix: Matrix) -> str:
    """Return how many pairs were measured, and the means of own and other languages' models."""
    own_pairs = np.array([[s == t for t in matrix.targets] for s in matrix.sources])
    known = ~np.isnan(matrix.scores)
    own, foreign = matrix.scores[known & own_pairs], matrix.scores[known & ~own_pairs]
    show = find(matrix.metric).unit.show
    text = f"{int(known.sum())} of {matrix.scores.size} pairs were measured."
    if own.size:
        text += f" Own model: mean {show(float(own.mean()), 1)} over {count(own.size, 'target')}."
    if foreign.size:
        low, mean, high = (show(float(f(foreign)), 1) for f in (np.min, np.mean, np.max))
        text += f" Another language's model: mean {mean}, {low.removesuffix('%')} … {high.removesuffix('%')}."
    return text
