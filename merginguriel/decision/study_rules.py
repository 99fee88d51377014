"""Rules of the original study for whether to merge: predictors V1 to V3, ratio rule and decision tree, as rivals.

V1 = diversity / (1 + 10·sd of the sources' accuracies); V2 = V1 · min(quality / 0.7, 1) with quality = their mean over the
target's own accuracy; V3 = V2 + 0.5 · coherence from 0.8 of coherence. Diversity is 1 − mean URIEL similarity of the
sources, and coherence the share of the most common script, in place of the study's regions, which it does not define.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import pstdev
from typing import NamedTuple

from merginguriel import locales
from merginguriel.errors import MuError
from merginguriel.knowledge.parse.rows import ResultRow
from merginguriel.similarity import uriel

from .evidence import columns

SOURCES = 3


class TargetFacts(NamedTuple):
    """Accuracies of a target: the best sources by name, the best single model, and the target's own model."""

    sources: Mapping[str, float]
    best: float
    own: float


def facts(rows: Sequence[ResultRow], context: str) -> dict[str, TargetFacts]:
    """Return target → facts, where its column and its own model are known."""
    own = {
        row.target: row.baseline
        for row in rows
        if row.context == context and row.baseline_kind == "target_alone" and row.baseline is not None
    }
    found = {}
    for (where, target), column in columns(rows).items():
        if where == context and target in own and len(column) >= SOURCES:
            best = sorted(column, key=lambda source: (-column[source], source))[:SOURCES]
            found[target] = TargetFacts(
                {source: column[source] for source in best}, column[best[0]], own[target]
            )
    return found


def rules(found: Mapping[str, TargetFacts]) -> dict[str, dict[str, bool]]:
    """Return rule → target → whether it says to merge; a predictor says so in the upper half of its ranking."""
    if not found:
        return {}
    scores: dict[str, dict[str, float]] = {"V1": {}, "V2": {}, "V3": {}}
    for target, fact in found.items():
        values = list(fact.sources.values())
        first = _diversity(list(fact.sources)) / (1 + 10 * pstdev(values))
        quality = sum(values) / len(values) / fact.own
        second = first * min(quality / 0.7, 1)
        common = Counter(locales.get(source).script for source in fact.sources).most_common(1)[0][1]
        coherence = common / len(fact.sources)
        scores["V1"][target], scores["V2"][target] = first, second
        scores["V3"][target] = second + (0.5 * coherence if coherence >= 0.8 else 0.0)
    said: dict[str, dict[str, bool]] = {}
    for name, of in scores.items():
        middle = sorted(of.values())[len(of) // 2]
        said[f"{name} of the study"] = {target: value >= middle for target, value in of.items()}
    said["ratio rule of the study"] = {target: fact.best / fact.own < 0.6 for target, fact in found.items()}
    said["decision tree of the study"] = said["V2 of the study"]
    return said


def _diversity(sources: Sequence[str]) -> float:
    """Return 1 − the mean URIEL similarity of pairs; 0.5 where URIEL lacks a language."""
    try:
        pairs = [float(uriel.matrix([a], [b])[0, 0]) for a, b in combinations(sources, 2)]
    except MuError:
        return 0.5
    return 1 - sum(pairs) / len(pairs)
